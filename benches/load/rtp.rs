//! Sends RTP through a relay and counts what comes out at the other side.
//!
//! `rtp WARM_UP SECONDS < SESSIONS`, a session a line: `A relayA B relayB`, ports of 127.0.0.1. A sends to relayA
//! and is heard at B; B sends to relayB and is heard at A. Every stream has 50 packets of 172 bytes a
//! second; the streams' packets are spread over the 20 ms, as those of real calls are.
//!
//! Prints `warm` when WARM_UP seconds are over, whose packets do not count; then, when the last packets had time to
//! arrive, `sent N received N p50 N p99 N max N`: how long packets took, in microseconds, from before they were
//! sent until they were read, so this program's own delay is in it.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a load generator: it runs on the clock and says what it counted"
)]

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

/// 20 ms of PCMU and the RTP header (RFC 3550 §5.1).
const PACKET_BYTES: usize = 172;
/// Samples in a packet at 8 kHz.
const SAMPLES: u32 = 160;
/// A stream's packets are this far apart.
const INTERVAL: Duration = Duration::from_millis(20);
/// Packets of a stream in a second.
const ROUNDS_PER_SECOND: u32 = 50;
/// When a packet was sent, in its payload.
const STAMP: Range<usize> = 12..16;
/// A tick sends the packets of `1 / TICKS` of the streams.
const TICKS: usize = 20;
/// How long the last packets may take.
const DRAIN: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let arguments: Vec<u32> = arguments.collect::<Result<_, _>>()?;
    let &[warm_up, seconds] = arguments.as_slice() else {
        return Err("usage: rtp WARM_UP SECONDS < SESSIONS".into());
    };
    let rounds = [warm_up, seconds].map(|seconds| seconds * ROUNDS_PER_SECOND);
    let mut streams = streams(io::stdin().lines())?;
    let poll = Poll::new()?;
    for (index, stream) in streams.iter_mut().enumerate() {
        poll.registry()
            .register(stream, Token(index), Interest::READABLE)?;
    }
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let (sent, mut delays) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(poll, &streams, rounds[0], start, &over));
        let sent = send(&streams, rounds, start);
        thread::sleep(DRAIN);
        over.store(true, Ordering::Relaxed);
        match receiver.join() {
            Ok(Ok(delays)) => Ok((sent?, delays)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the receiver panicked")),
        }
    })?;
    delays.sort_unstable();
    let at = |share: usize| {
        delays.get((delays.len() * share / 1_000).min(delays.len().saturating_sub(1)))
    };
    let [half, most, all] = [500, 990, 1_000].map(|share| at(share).copied().unwrap_or_default());
    println!(
        "sent {sent} received {} p50 {half} p99 {most} max {all}",
        delays.len()
    );
    Ok(())
}

/// The ends of the sessions, connected to where they send to.
fn streams(
    lines: impl Iterator<Item = io::Result<String>>,
) -> Result<Vec<UdpSocket>, Box<dyn Error>> {
    let mut streams = Vec::new();
    for line in lines {
        let line = line?;
        let ports: Vec<u16> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let &[a, relay_a, b, relay_b] = ports.as_slice() else {
            return Err(format!("not `A relayA B relayB`: {line}").into());
        };
        for (port, relay) in [(a, relay_a), (b, relay_b)] {
            let socket = UdpSocket::bind(loopback(port))?;
            socket.connect(loopback(relay))?;
            streams.push(socket);
        }
    }
    Ok(streams)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Sends so many packets of each stream to warm up, then so many more, and returns how many of these went out.
fn send(streams: &[UdpSocket], [warm_up, rounds]: [u32; 2], start: Instant) -> io::Result<u64> {
    let mut packet = [0; PACKET_BYTES];
    let mut sent = 0;
    for sequence in 0..warm_up + rounds {
        if sequence == warm_up {
            println!("warm");
        }
        for tick in 0..TICKS {
            let share = u32::try_from(tick).map_err(io::Error::other)?;
            let due = INTERVAL * sequence + INTERVAL * share / 20;
            thread::sleep(due.saturating_sub(start.elapsed()));
            for (ssrc, stream) in streams.iter().enumerate().skip(tick).step_by(TICKS) {
                header(&mut packet, sequence, ssrc);
                packet[STAMP].copy_from_slice(&micros(start).to_be_bytes());
                match stream.send(&packet) {
                    Ok(_) => sent += u64::from(sequence >= warm_up),
                    // Lost at the sender: not the relay's fault, and not counted as sent.
                    Err(error) if is_momentary(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(sent)
}

/// A full buffer, or what an ICMP message left on the socket from before the relay was there.
fn is_momentary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused
    )
}

/// RFC 3550 §5.1: version 2, payload type 0.
fn header(packet: &mut [u8; PACKET_BYTES], sequence: u32, ssrc: usize) {
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes()[2..]);
    packet[4..8].copy_from_slice(&sequence.wrapping_mul(SAMPLES).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes()[4..]);
}

/// Microseconds since the start.
fn micros(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// How long the packets took that count, until told that it is over.
fn receive(
    mut poll: Poll,
    streams: &[UdpSocket],
    warm_up: u32,
    start: Instant,
    over: &AtomicBool,
) -> io::Result<Vec<u32>> {
    let mut delays = Vec::new();
    let mut events = Events::with_capacity(1_024);
    let mut buffer = [0; 2_048];
    while !over.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let Some(stream) = streams.get(event.token().0) else {
                continue;
            };
            loop {
                match stream.recv(&mut buffer) {
                    Ok(PACKET_BYTES) => {
                        if u32::from(u16::from_be_bytes([buffer[2], buffer[3]])) >= warm_up {
                            let stamp = buffer[STAMP].try_into().map_err(io::Error::other)?;
                            delays.push(micros(start).saturating_sub(u32::from_be_bytes(stamp)));
                        }
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // What an ICMP message left on the socket, from before the relay was there.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(delays)
}
