//! Responsible for the named places between two durable steps of long work, so that a test can look at the disk exactly
//! there: what lies there then is what a killed process leaves behind. In the program itself they are nothing.
//!
//! Deliberately not: failing. Whoever copies the folder at a failpoint and opens the copy has seen the kill.

#[cfg(test)]
use std::sync::{Mutex, PoisonError};

/// What a test does at each failpoint.
#[cfg(test)]
type Act = Box<dyn FnMut(&'static str) + Send>;

/// The failpoints of one house.
#[derive(Default)]
pub(crate) struct Failpoints {
    #[cfg(test)]
    act: Mutex<Option<Act>>,
}

impl Failpoints {
    /// Says that this place is reached.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in a test it has something to do")]
    pub(crate) const fn reach(&self, _: &'static str) {}

    #[cfg(test)]
    pub(crate) fn reach(&self, name: &'static str) {
        if let Some(act) = self.act.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            act(name);
        }
    }

    /// From now on this is done at each.
    #[cfg(test)]
    pub(crate) fn at_each(&self, act: impl FnMut(&'static str) + Send + 'static) {
        *self.act.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
    }
}
