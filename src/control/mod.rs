//! The control plane's own work: what runs beside the shards on tokio.

pub mod resolver;
