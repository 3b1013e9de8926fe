//! Whole gateways in virtual time: fake PBXs and carriers, a fake network, no clock and no socket.
//!
//! - [`world`]: clock, event queue, network, the gateway's shards, and what is checked of every message
//! - [`gateway`]: its settings, where it listens
//! - [`agent`]: a PBX or a carrier, with logic of its own
//! - [`packets`]: RTP and RTCP; [`secrets`]: the keys of SRTP, and that nobody else learns of them
//! - [`cast`]: the connectors, carriers and agents that the scenarios are played by
//! - the other modules: scenarios, by what they are about
//!
//! Every scenario runs with one shard and with two. `TRUNKLINE_SIM_SEED` overrides the seed, which a
//! failing scenario prints together with its last messages.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "in a simulation what is missing, or not expected, is a failure"
)]

mod agent;
mod bad_input;
mod bleed;
mod calls;
mod cancelling;
mod carrier_rules;
mod carriers;
mod cast;
#[path = "../corpus/mod.rs"]
mod corpus;
mod emergency;
mod failover;
mod forbidden;
mod gateway;
mod groups;
mod hanging_up;
mod headers;
mod health;
mod hostile;
mod info;
mod limits;
mod locating;
mod loss;
mod masked;
mod media;
mod messages;
mod network;
mod options;
mod packets;
mod policy;
mod proxy_sessions;
mod quality;
mod random_calls;
mod refusals;
mod registrations;
mod reinvites;
mod reliable;
mod secrets;
mod session_timers;
mod shutting_down;
mod srtp;
mod srtp_forks;
mod streams;
mod torture;
mod transfers;
mod transfers_refused;
mod transports;
mod updates;
mod world;
