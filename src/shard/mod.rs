//! One shard: a share of the calls with everything that belongs to them, as a sans-IO machine.

pub mod io;
pub mod snapshot;
pub mod wheel;
