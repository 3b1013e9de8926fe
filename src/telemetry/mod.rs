//! One typed event per fact. An event makes the log line, the counter, the record.

mod log;

use std::net::SocketAddr;

use crate::connector_id::VoiceConnectorId;

pub use log::{init, log};

/// Something that happened in the data plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A customer's host sent OPTIONS to a connector's host name (TerminationHealth).
    OptionsReceived {
        /// The connector.
        connector: VoiceConnectorId,
        /// Who sent it.
        source: SocketAddr,
    },
}
