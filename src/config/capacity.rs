//! How many calls the media ports are enough for.

use std::ops::RangeInclusive;

/// Calls at once that the range serves: each takes two pairs of a shard's share, and of the same address
/// family at worst.
pub fn calls_of_ports(ports: &RangeInclusive<u16>, shards: u8) -> u64 {
    let first = u64::from(*ports.start()).next_multiple_of(2);
    let pairs = (u64::from(*ports.end()) + 1).saturating_sub(first) / 2;
    let shards = u64::from(shards.max(1));
    pairs / shards / 2 * shards
}
