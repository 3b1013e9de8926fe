//! Which indices have been seen (RFC 3711 §3.3.2).

/// How far behind the highest index one may be.
pub(super) const WINDOW: u64 = 128;

/// The highest index and which of those before it were seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

impl ReplayWindow {
    /// One index was seen.
    pub(super) fn starting_at(index: u64) -> Self {
        Self {
            highest: index,
            seen: 1,
        }
    }

    #[inline]
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Neither seen nor too old to know.
    #[inline]
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen >> behind & 1 == 0,
        }
    }

    #[inline]
    pub(super) fn record(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            Some(behind) if behind < WINDOW => self.seen |= 1 << behind,
            Some(_) => {}
            None => {
                let ahead = index - self.highest;
                self.seen = match ahead {
                    0..WINDOW => self.seen << ahead | 1,
                    _ => 1,
                };
                self.highest = index;
            }
        }
    }
}
