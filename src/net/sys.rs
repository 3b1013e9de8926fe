//! What only the operating system knows: the clock and the limit on open files. The crate's only
//! unsafe code stands here.

#![allow(
    unsafe_code,
    reason = "getrlimit and setrlimit have no safe wrapper in std"
)]

use std::io;
use std::time::Duration;

use crate::instant::Instant;

/// The machine's monotonic clock as the core's time. Copies share their origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the place that reads the clock"
    )]
    pub fn start() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }

    /// The time since the origin; one microsecond after it at the earliest, so that no reading is
    /// taken for the origin itself.
    pub fn now(self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed() + Duration::from_micros(1)
    }
}

/// Raises the limit on open files (`RLIMIT_NOFILE`) to what the system allows this process, and
/// returns it. A call needs four sockets for its media.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid, exclusively borrowed rlimit for the duration of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit; the call only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_clock_agree() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.now();
        assert!(first > Instant::ORIGIN);
        assert!(copy.now() >= first);
    }

    #[test]
    fn the_limit_on_open_files_can_be_raised_twice() {
        let raised = raise_open_files_limit().unwrap();
        assert!(raised > 0);
        assert_eq!(raise_open_files_limit().unwrap(), raised);
    }
}
