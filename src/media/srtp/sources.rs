//! What is kept for each SSRC.

/// A table by SSRC, the one used last first: its look-up is one compare.
#[derive(Clone, Debug)]
pub(super) struct Sources<T> {
    entries: Vec<(u32, T)>,
}

impl<T> Sources<T> {
    /// With room for one source: most keys never see a second.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(u32, T)> {
        self.entries.iter()
    }

    /// Changes no order: whoever asks has not been authenticated.
    #[inline]
    pub(super) fn get(&self, ssrc: u32) -> Option<&T> {
        let found = self.entries.iter().find(|(known, _)| *known == ssrc);
        found.map(|(_, state)| state)
    }

    /// As the one used last.
    #[inline]
    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut T> {
        let is_first = matches!(self.entries.first(), Some((known, _)) if *known == ssrc);
        if !is_first {
            let at = self.entries.iter().position(|(known, _)| *known == ssrc)?;
            self.entries.get_mut(..=at)?.rotate_right(1);
        }
        self.entries.first_mut().map(|(_, state)| state)
    }

    /// A source that is not there, as the one used last. Where there are `max` already, the one that was
    /// not used for longest is given up.
    pub(super) fn insert(&mut self, ssrc: u32, state: T, max: usize) {
        self.entries.truncate(max.saturating_sub(1));
        self.entries.insert(0, (ssrc, state));
    }
}
