//! Trunkline: a self-hosted voice connector.
//!
//! A SIP trunking gateway (session border controller, B2BUA) that carries calls between customers'
//! PBXs and PSTN carriers, relays their media, and is controlled through the Amazon Chime Voice
//! Connector API and through config files. `ARCHITECTURE.md` has the picture and the reading order.
//!
//! The modules in layer order; a module uses its own layer and those above it in this list:
//!
//! - layer 0, facts used by all: [`instant`], [`numbering`], [`connector_id`],
//!   [`config`], [`telemetry`]
//! - layer 1, protocols, pure (no clock, socket, lock, task): [`sip`], [`sdp`], [`media`]
//! - layer 2, call control and the tables of one shard, pure: [`gateway`], [`shard`]
//! - layer 3, the only code that touches sockets and the clock: [`net`]
//! - beside them the control plane on tokio: [`store`], [`api`], [`control`]

pub mod config;
pub mod connector_id;
pub mod instant;
pub mod numbering;
pub mod telemetry;

pub mod media;
pub mod sdp;
pub mod sip;

pub mod gateway;
pub mod shard;

pub mod net;

pub mod api;
pub mod control;
pub mod store;
