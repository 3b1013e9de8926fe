//! The floor of a relay on plain sockets: epoll, one recvfrom and one sendto a packet, nothing else done.
//!
//! `floor SESSIONS PORT THREADS` opens two sockets a session, prints `A relayA B relayB` for each as `rtp` reads
//! it, then `ready`, and relays until it is ended. Four ports a session, all from PORT on, are A, relayA, B and
//! relayB. Each thread has its share of the sessions and an epoll of its own.

#![allow(
    clippy::print_stdout,
    reason = "what it prints is its interface to the load generator"
)]
#![allow(
    unsafe_code,
    reason = "level-triggered epoll is the floor: mio's is edge-triggered and needs a second recvfrom"
)]

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

const EVENTS: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<u16> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()?;
    let &[sessions, first, threads] = arguments.as_slice() else {
        return Err("usage: floor SESSIONS PORT THREADS".into());
    };
    let mut sockets: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (session, a) in (first..).step_by(4).take(sessions.into()).enumerate() {
        // In halves, not by turns: `rtp` sends at the same moment what is a fixed number of sessions apart.
        let share = session * usize::from(threads) / usize::from(sessions);
        let Some(sockets) = sockets.get_mut(share) else {
            continue;
        };
        let b = a + 2;
        let (relay_a, relay_b) = (open(a + 1)?, open(b + 1)?);
        println!("{a} {} {b} {}", a + 1, b + 1);
        // What arrives at one goes out of the other.
        sockets.push((relay_a, SocketAddr::from((Ipv4Addr::LOCALHOST, a))));
        sockets.push((relay_b, SocketAddr::from((Ipv4Addr::LOCALHOST, b))));
    }
    println!("ready");
    std::thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .iter()
            .map(|share| scope.spawn(move || relay(share)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(())
}

fn open(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn relay(sockets: &[(UdpSocket, SocketAddr)]) -> io::Result<()> {
    let epoll = watch(sockets)?;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    let mut buffer = [0; 2_048];
    loop {
        for index in wait(epoll, &mut events)? {
            let (Some((socket, _)), Some((other, to))) =
                (sockets.get(index), sockets.get(index ^ 1))
            else {
                continue;
            };
            if let Ok((length, _from)) = socket.recv_from(&mut buffer) {
                // A full send buffer loses the packet, and the generator counts that.
                let _lost = other.send_to(&buffer[..length], to);
            }
        }
    }
}

fn watch(sockets: &[(UdpSocket, SocketAddr)]) -> io::Result<libc::c_int> {
    // SAFETY: takes no pointer.
    let epoll = unsafe { libc::epoll_create1(0) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    for (index, (socket, _)) in sockets.iter().enumerate() {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN.cast_unsigned(),
            u64: u64::try_from(index).map_err(io::Error::other)?,
        };
        // SAFETY: `event` outlives the call, and the kernel copies it.
        let added =
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &mut event) };
        if added < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(epoll)
}

/// The indices of the sockets that have something.
fn wait(
    epoll: libc::c_int,
    events: &mut [libc::epoll_event; EVENTS],
) -> io::Result<impl Iterator<Item = usize>> {
    // SAFETY: the buffer has room for as many events as the call is told.
    let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 256, -1) };
    let ready = usize::try_from(ready).map_err(|_negative| io::Error::last_os_error())?;
    Ok(events
        .iter()
        .take(ready)
        .filter_map(|event| usize::try_from(event.u64).ok()))
}
