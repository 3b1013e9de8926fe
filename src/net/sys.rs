//! What only the operating system knows: the clock, the limit on open files, several datagrams in one
//! call. The crate's only unsafe code stands here.

#![allow(
    unsafe_code,
    reason = "getrlimit, setrlimit and recvmmsg have no safe wrapper in std"
)]

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
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

/// Datagrams that [`receive_batch`] takes at most.
pub(super) const BATCH: usize = 4;

/// Where the datagrams of a batch came from, and their lengths in bytes. `None` for one that was cut
/// because it was longer than its part of the buffer, or that came from no internet address.
pub(super) type Received = [Option<(SocketAddr, usize)>; BATCH];

/// Takes what a datagram socket holds, up to [`BATCH`] datagrams, without waiting; each goes to its part
/// of the buffer, `buffer.len() / BATCH` bytes apart. Returns how many there were. Fewer than [`BATCH`]
/// means that the socket is empty now: unlike `recvfrom`, that takes no second call to find out.
pub(super) fn receive_batch(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    received: &mut Received,
) -> io::Result<usize> {
    let part = buffer.len() / BATCH;
    // SAFETY: these are C structs of integers and pointers, for which all zeros is a value.
    let mut addresses: [libc::sockaddr_storage; BATCH] =
        unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let places = buffer.chunks_exact_mut(part.max(1)).zip(&mut addresses);
    for ((header, vector), (bytes, address)) in headers.iter_mut().zip(&mut parts).zip(places) {
        vector.iov_base = bytes.as_mut_ptr().cast();
        vector.iov_len = bytes.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    }
    // SAFETY: every header points at a part of `buffer`, an address and a vector that are borrowed
    // exclusively and outlive the call; the kernel writes within the lengths given.
    let taken = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
    for ((slot, header), address) in received
        .iter_mut()
        .zip(&headers)
        .zip(&addresses)
        .take(taken)
    {
        let is_whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
        let source = is_whole.then(|| internet_address(address)).flatten();
        *slot = source.map(|source| (source, header.msg_len as usize));
    }
    Ok(taken)
}

fn internet_address(address: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place = std::ptr::from_ref(address);
    match libc::c_int::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in stands there; the storage is larger, aligned
            // for every kind of address, and initialised.
            let v4 = unsafe { &*place.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let v6 = unsafe { &*place.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_batch_has_every_datagram_with_its_source() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(receiver) = UdpSocket::bind(local) else {
                println!("no {local} on this machine");
                continue;
            };
            let senders = [
                UdpSocket::bind(local).unwrap(),
                UdpSocket::bind(local).unwrap(),
            ];
            let to = receiver.local_addr().unwrap();
            for text in ["one", "two", "three"] {
                senders[text.len() % 2]
                    .send_to(text.as_bytes(), to)
                    .unwrap();
            }
            senders[0].send_to(&[7; 100], to).unwrap();
            senders[0].send_to(b"", to).unwrap();
            let mut buffer = [0; BATCH * 64];
            let mut received = Received::default();
            // Loopback delivers before send_to returns.
            let taken = receive_batch(receiver.as_fd(), &mut buffer, &mut received).unwrap();
            assert_eq!(taken, BATCH);
            let from = |index: usize| senders[index].local_addr().unwrap();
            assert_eq!(
                received,
                [
                    Some((from(1), 3)),
                    Some((from(1), 3)),
                    Some((from(1), 5)),
                    None
                ]
            );
            assert_eq!(&buffer[2 * 64..2 * 64 + 5], b"three");
            let taken = receive_batch(receiver.as_fd(), &mut buffer, &mut received).unwrap();
            assert_eq!((taken, received[0]), (1, Some((from(0), 0))));
            let empty = receive_batch(receiver.as_fd(), &mut buffer, &mut received);
            assert_eq!(empty.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
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
