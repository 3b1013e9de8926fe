//! Figures of a shard, published to the control plane through relaxed atomics.
//!
//! A worker counts in plain integers and publishes after a loop turn in which anything happened, so
//! no packet pays for an atomic. A reader may see fields of two turns side by side.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gateway::Cause;
use crate::gateway::refusal::RefusalCounts;

/// Declares a set of figures twice: as plain integers and as atomics that carry them over.
macro_rules! figures {
    (
        $(#[$plain_doc:meta])* $plain:ident,
        $shared:ident,
        { $( $(#[$doc:meta])* $field:ident, )* }
    ) => {
        $(#[$plain_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $plain { $( $(#[$doc])* pub $field: u64, )* }

        #[derive(Default, Debug)]
        struct $shared { $( $field: AtomicU64, )* }

        impl $shared {
            fn publish(&self, figures: &$plain) {
                $( self.$field.store(figures.$field, Ordering::Relaxed); )*
            }

            fn read(&self) -> $plain {
                $plain { $( $field: self.$field.load(Ordering::Relaxed), )* }
            }
        }
    };
}

figures! {
    /// What a core holds now, and what it has handled since its start.
    Gauges, SharedCore, {
        /// Calls now, both legs counted as one.
        calls,
        /// Dialogs now.
        dialogs,
        /// Transactions now.
        transactions,
        /// Timers running now.
        timers,
        /// Pairs of media sockets in use now.
        media_ports_in_use,
        /// Pairs of media sockets bound and free now.
        media_ports_free,
        /// MESSAGEs on their way now.
        pager_messages,
        /// MESSAGEs that were sent on, since the start.
        pager_messages_begun,
        /// MESSAGEs refused because there were too many, since the start.
        pager_messages_refused_full,
        /// SIP messages handled since the start.
        messages,
        /// SIP messages that could not be parsed, since the start.
        messages_malformed,
        /// SIP messages that belonged to nothing, since the start.
        messages_stray,
        /// Calls begun, since the start.
        calls_begun,
        /// INVITEs refused before they became a call, since the start.
        calls_refused,
        /// INVITEs refused because the call table was full, since the start.
        calls_refused_full,
        /// INVITEs refused because the shard was behind, since the start.
        calls_refused_lag,
        /// Messages dropped because their source sent too many, since the start.
        messages_over_rate,
        /// Messages dropped because their source was banned, since the start.
        messages_from_banned,
        /// Messages of strangers dropped because the shard was far behind, since the start.
        messages_while_busy,
        /// Sources banned now.
        sources_banned,
        /// Next hops pinged now.
        next_hops,
        /// Those of them that are down now.
        next_hops_down,
        /// Pings sent, since the start.
        pings_sent,
        /// Pings that nobody answered, or with a 503 or 408, since the start.
        pings_unanswered,
        /// RTP (or UDPTL) and RTCP packets relayed, since the start.
        media_packets_relayed,
        /// Bytes of them as they were sent on.
        media_bytes_relayed,
        /// Media packets dropped because their port belonged to no call, since the start.
        media_free_port,
        /// Media packets dropped because they were no RTP or RTCP, since the start.
        media_malformed,
        /// Media packets dropped because they were somebody else's, since the start.
        media_foreign_source,
        /// Media packets dropped because their stream had too many in a second, since the start.
        media_too_many,
        /// Media packets dropped because the call's SRTP key had not made them, since the start.
        media_not_authentic,
        /// Media packets dropped because they were SRTP that had come before, since the start.
        media_replayed,
        /// Media packets dropped because they did not belong to their stream, since the start.
        media_implausible,
        /// Media packets dropped because the other leg was nowhere, since the start.
        media_no_destination,
        /// Panics in the handling of a call or of a MESSAGE, each of which ended that one, since the start.
        call_panics,
    }
}

figures! {
    /// What a worker's sockets hold now, and what passed through them since its start.
    NetGauges, SharedNet, {
        /// SIP connections open now.
        connections,
        /// Those of them over TCP.
        connections_tcp,
        /// Those of them over TLS, handshakes under way included.
        connections_tls,
        /// Datagrams received on SIP listeners.
        datagrams_received,
        /// SIP datagrams that only kept a binding alive.
        keep_alives,
        /// SIP messages received on connections.
        stream_messages_received,
        /// SIP messages handed to their owner shard.
        handed_over,
        /// Messages lost because another shard's mailbox was full.
        mailbox_drops,
        /// Events lost because the control plane did not drain them in time.
        event_drops,
        /// SIP messages that could not be sent.
        send_errors,
        /// SIP datagrams lost because the socket's send buffer was full.
        datagram_drops,
        /// TLS handshakes that came to a good end.
        tls_handshakes,
        /// TLS handshakes that failed, or took too long.
        tls_handshakes_failed,
        /// Connections refused because there were too many.
        connections_refused,
        /// Connections closed for bytes that cannot be framed.
        framing_errors,
        /// Connections closed because the peer did not read.
        slow_readers,
        /// Media sockets bound.
        media_sockets,
        /// Pairs of media ports that could not be bound and were skipped.
        media_ports_skipped,
        /// Media packets received.
        media_packets_received,
        /// Media packets sent on.
        media_packets_sent,
        /// Media packets that the kernel did not take.
        media_send_drops,
        /// Panics in the core, or in the TLS of a connection, that were caught.
        panics,
    }
}

/// [`RefusalCounts`] as atomics.
#[derive(Debug)]
struct SharedRefusals([AtomicU64; Cause::ALL.len()]);

impl Default for SharedRefusals {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Cause::ALL.len()])
    }
}

impl SharedRefusals {
    fn publish(&self, counts: &RefusalCounts) {
        for (shared, cause) in self.0.iter().zip(Cause::ALL) {
            shared.store(counts.of(cause), Ordering::Relaxed);
        }
    }

    fn read(&self) -> RefusalCounts {
        let mut counts = RefusalCounts::default();
        for (count, shared) in counts.all().iter_mut().zip(&self.0) {
            *count = shared.load(Ordering::Relaxed);
        }
        counts
    }
}

/// One shard's figures as the control plane reads them.
#[derive(Default, Debug)]
pub struct SharedGauges {
    core: SharedCore,
    refused: SharedRefusals,
    net: SharedNet,
}

impl SharedGauges {
    /// The core's figures after its last turn.
    pub fn core(&self) -> Gauges {
        self.core.read()
    }

    /// What policy has refused, after its last turn.
    pub fn refused(&self) -> RefusalCounts {
        self.refused.read()
    }

    /// The worker's figures after its last turn.
    pub fn net(&self) -> NetGauges {
        self.net.read()
    }

    pub(crate) fn publish(&self, core: &Gauges, refused: &RefusalCounts, net: &NetGauges) {
        self.core.publish(core);
        self.refused.publish(refused);
        self.net.publish(net);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let core = Gauges {
            calls: 3,
            ..Gauges::default()
        };
        let net = NetGauges {
            panics: 1,
            ..NetGauges::default()
        };
        let shared = SharedGauges::default();
        let mut refused = RefusalCounts::default();
        refused.add(Cause::NoCarrier);
        shared.publish(&core, &refused, &net);
        assert_eq!(shared.core(), core);
        assert_eq!(shared.refused(), refused);
        assert_eq!(shared.net(), net);
    }
}
