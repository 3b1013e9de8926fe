//! Places that have asked to be left alone for a while (RFC 3261 §20.33, Retry-After of a 503).

use std::net::SocketAddr;
use std::time::Duration;

use crate::instant::Instant;

/// Places that are remembered; more of them at once are not left alone.
const PLACES_MAX: usize = 1_024;
/// A place that asks for longer is asked again after this.
const REST_MAX: Duration = Duration::from_secs(300);

/// The places of one shard that rest.
#[derive(Default)]
pub(crate) struct Resting {
    places: Vec<(SocketAddr, Instant)>,
}

impl Resting {
    /// Leaves a place alone for so many seconds.
    pub(crate) fn rest(&mut self, place: SocketAddr, seconds: u64, now: Instant) {
        self.places
            .retain(|(other, until)| *other != place && *until > now);
        if self.places.len() < PLACES_MAX && seconds > 0 {
            let until = now + Duration::from_secs(seconds).min(REST_MAX);
            self.places.push((place, until));
        }
    }

    /// Whether a place rests.
    pub(crate) fn rests(&self, place: SocketAddr, now: Instant) -> bool {
        let mut all = self.places.iter();
        all.any(|(other, until)| *other == place && *until > now)
    }

    /// Puts the places that rest behind the others: where none is left, they are tried all the same.
    pub(crate) fn put_last<T>(
        &self,
        places: &mut [T],
        address: impl Fn(&T) -> SocketAddr,
        now: Instant,
    ) {
        if self.places.is_empty() {
            return;
        }
        let rests = |place: &T| self.rests(address(place), now);
        // Stable: the order among those that rest, and among those that do not, is kept.
        places.sort_by_key(rests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn order(resting: &Resting, now: Instant) -> Vec<u16> {
        let mut places = [place(1), place(2), place(3)];
        resting.put_last(&mut places, |place| *place, now);
        places.map(|place| place.port()).to_vec()
    }

    #[test]
    fn a_place_that_rests_comes_last_until_its_time_is_over() {
        let start = Instant::from_micros(0);
        let mut resting = Resting::default();
        resting.rest(place(1), 10, start);
        assert_eq!(order(&resting, start), [2, 3, 1]);
        resting.rest(place(3), 1_000_000, start);
        assert_eq!(order(&resting, start + Duration::from_secs(9)), [2, 1, 3]);
        assert_eq!(order(&resting, start + Duration::from_secs(10)), [1, 2, 3]);
        assert_eq!(order(&resting, start + REST_MAX), [1, 2, 3]);
    }

    #[test]
    fn too_many_places_are_not_kept() {
        let start = Instant::from_micros(0);
        let mut resting = Resting::default();
        for port in 1..=2_000 {
            resting.rest(place(port), 10, start);
        }
        assert_eq!(resting.places.len(), PLACES_MAX);
        // Those whose time is over make room.
        resting.rest(place(3_000), 10, start + Duration::from_secs(11));
        assert_eq!(resting.places.len(), 1);
    }
}
