//! What the checks on a call find, for whoever wants to know why it goes where it goes.

/// One step of a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which check.
    pub check: &'static str,
    /// What it found.
    pub found: String,
}

/// The steps of a decision, where somebody asked for them; nothing is written down for a call.
#[derive(Default, Debug)]
pub struct Trace(Option<Vec<Step>>);

impl Trace {
    /// One that keeps what it is told.
    pub fn recording() -> Self {
        Self(Some(Vec::new()))
    }

    /// Whether there is no call: the decision itself is what is wanted.
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Tells of a step.
    pub fn note(&mut self, check: &'static str, found: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            let found = found();
            steps.push(Step { check, found });
        }
    }

    /// All steps, in their order.
    pub fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}
