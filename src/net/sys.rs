//! What only the operating system knows: the clock, the limit on open files, which sockets hold something.
//! The crate's only unsafe code stands here.

#![allow(
    unsafe_code,
    reason = "getrlimit, setrlimit, epoll_ctl and connect to nobody have no safe wrapper in std"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::{Registry, Token};

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

/// Has `poll` report the socket with `token` for as long as it holds a datagram, so that one read each time
/// is enough: of a socket that mio registers itself an arrival is reported once, and it takes another read
/// to find out that nothing is left.
pub(super) fn watch(registry: &Registry, socket: BorrowedFd<'_>, token: Token) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN.cast_unsigned(),
        u64: token.0 as u64,
    };
    // SAFETY: `event` outlives the call, and the kernel copies it; a closed or foreign descriptor is an error.
    let added = unsafe {
        libc::epoll_ctl(
            registry.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            socket.as_raw_fd(),
            &mut event,
        )
    };
    match added {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Undoes `connect` of a UDP socket of IPv4: it hears everybody again, on the port and address that it was bound to.
/// One of IPv6 would go on to hear its former peer's address alone.
pub(super) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nobody` is a valid address of `length` bytes that outlives the call.
    match unsafe { libc::connect(socket.as_raw_fd(), &nobody, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn a_watched_socket_is_reported_until_it_is_empty() {
        let mut poll = Poll::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        watch(poll.registry(), socket.as_fd(), Token(7)).unwrap();
        let to = socket.local_addr().unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..2 {
            socket.send_to(b"x", to).unwrap();
        }
        for _ in 0..2 {
            poll.poll(&mut events, None).unwrap();
            let tokens: Vec<_> = events.iter().map(|event| event.token()).collect();
            assert_eq!(tokens, [Token(7)]);
            socket.recv_from(&mut [0; 8]).unwrap();
        }
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }

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
