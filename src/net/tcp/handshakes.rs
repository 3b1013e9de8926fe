//! Connections that are at their handshake, and whose turn it is.
//!
//! A call waits for a connection of ours, and nobody waits for a stranger's.

use std::collections::VecDeque;

use mio::Registry;
use rustls::pki_types::ServerName;

use super::Connections;
use super::admission::Rank;
use super::connection::{End, Security, State};
use crate::config::{Carrier, CarrierId};
use crate::instant::Instant;
use crate::net::gauges::NetGauges;
use crate::net::tls::{Session, holds_name, server_name};

/// Connections with handshake work to do, and their generation: by rank, then in order.
#[derive(Default)]
pub(super) struct Queue {
    ours: VecDeque<(usize, u32)>,
    known: VecDeque<(usize, u32)>,
    strangers: VecDeque<(usize, u32)>,
}

impl Queue {
    pub(super) fn push(&mut self, rank: Rank, entry: (usize, u32)) {
        match rank {
            Rank::Ours => self.ours.push_back(entry),
            Rank::Known => self.known.push_back(entry),
            Rank::Stranger => self.strangers.push_back(entry),
        }
    }

    pub(super) fn pop(&mut self) -> Option<(usize, u32)> {
        let first = self.ours.pop_front();
        let then = first.or_else(|| self.known.pop_front());
        then.or_else(|| self.strangers.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.ours.is_empty() && self.known.is_empty() && self.strangers.is_empty()
    }
}

/// The names that carriers prove to be theirs, in the config's order; one that no certificate can hold is none.
pub(super) fn carriers_by_name(carriers: &[Carrier]) -> Vec<(ServerName<'static>, CarrierId)> {
    let carriers = (0..).map(CarrierId).zip(carriers);
    let names = carriers.flat_map(|(id, carrier)| {
        let names = carrier.tls.names.iter();
        names.filter_map(move |name| Some((server_name(name)?, id)))
    });
    names.collect()
}

/// The carrier that a peer has proven to be that has opened the connection.
fn carrier_of(
    session: &Session,
    carriers: &[(ServerName<'static>, CarrierId)],
) -> Option<CarrierId> {
    let shown = session.peer_certificates()?;
    let own = shown.first()?;
    let mut names = carriers.iter();
    let (_, id) = names.find(|(name, _)| holds_name(own, name))?;
    Some(*id)
}

impl Connections {
    /// Whether [`Self::handshakes`] has work to do.
    pub(in crate::net) fn has_handshakes(&self) -> bool {
        !self.handshaking.is_empty()
    }

    /// Works at this turn's share of handshakes; returns the slots that may have more to read.
    pub(in crate::net) fn handshakes(
        &mut self,
        registry: &Registry,
        buffer: &mut [u8],
        now: Instant,
        counts: &mut NetGauges,
    ) -> Vec<usize> {
        let mut more = Vec::new();
        for _ in 0..self.tls.handshakes_per_turn {
            let Some((slot, generation)) = self.handshaking.pop() else {
                break;
            };
            let Some(connection) = self.slots.get_mut(slot) else {
                continue;
            };
            if connection.generation != generation {
                continue;
            }
            connection.is_queued = false;
            let result = self
                .begin_handshake(slot)
                .and_then(|()| self.exchange(registry, slot, buffer, now, counts));
            if self.settle(registry, slot, result, counts) && !self.queue_handshake(slot) {
                more.push(slot);
            }
        }
        self.count(counts);
        more
    }

    /// Puts a connection in the queue for handshake work, where that is what it is at.
    pub(super) fn queue_handshake(&mut self, slot: usize) -> bool {
        match self.slots.get_mut(slot) {
            Some(connection) if connection.state == State::Handshaking => {
                if !connection.is_queued {
                    connection.is_queued = true;
                    let entry = (slot, connection.generation);
                    self.handshaking.push(connection.rank, entry);
                }
                true
            }
            Some(_) | None => false,
        }
    }

    /// Makes the session of a connection that was accepted, now that it is its turn.
    fn begin_handshake(&mut self, slot: usize) -> Result<(), End> {
        let Some(connection) = self.slots.get_mut(slot) else {
            return Ok(());
        };
        if let Security::Awaited = connection.security {
            let config = self.material.load().server().ok_or(End::Lost)?;
            let session = Session::server(config).map_err(End::Insecure)?;
            connection.security = Security::Session(Box::new(session));
        }
        if let Security::Session(session) = &mut connection.security {
            session.start()?;
        }
        Ok(())
    }

    /// Lets messages pass once the handshake is over.
    pub(super) fn finish_handshake(
        &mut self,
        slot: usize,
        now: Instant,
        counts: &mut NetGauges,
    ) -> Result<(), End> {
        let Some(connection) = self.slots.get_mut(slot) else {
            return Ok(());
        };
        let is_over = match &connection.security {
            Security::Session(session) => !session.is_handshaking(),
            Security::Plain | Security::Awaited => false,
        };
        if connection.state == State::Handshaking && is_over {
            counts.tls_handshakes += 1;
            if let Security::Session(session) = &connection.security {
                connection.carrier = carrier_of(session, &self.carriers);
            }
            let next = match connection.expected {
                Some(_) => State::Established,
                None => State::Accepted,
            };
            self.enter(slot, next, now);
        }
        // What was queued meanwhile, and what the session itself has to say.
        self.flush(slot)
    }
}
