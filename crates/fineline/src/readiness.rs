//! Whether the house may be sent work, and if not, why: one word each for load balancers and operators. It looks at nothing
//! itself: whoever knows says so.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why not; the first that holds is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NotReady {
    /// Not yet open.
    Starting = 1,
    /// Told to stop.
    Stopping = 2,
    /// A part of the program fails, again and again.
    Broken = 4,
    /// The root key is not there: only opt-outs are taken.
    Sealed = 8,
    /// Only opt-outs and erasures are taken.
    DiskFull = 16,
    /// Less than 5 % of the disk is free.
    DiskLow = 32,
    /// The clock was set by more than a minute: retention waits until somebody looked.
    ClockStepped = 64,
}

impl NotReady {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] =
        [Self::Stopping, Self::Starting, Self::Sealed, Self::Broken, Self::DiskFull, Self::ClockStepped, Self::DiskLow];

    /// The word for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Broken => "broken",
            Self::Sealed => "sealed",
            Self::DiskFull => "disk_full",
            Self::DiskLow => "disk_low",
            Self::ClockStepped => "clock_stepped",
        }
    }

    /// In a sentence.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Starting => "the house is being opened",
            Self::Stopping => "the program is being stopped",
            Self::Broken => "a part of the program fails: see the log",
            Self::Sealed => "the root key is not there: only opt-outs are taken, and kept until it is",
            Self::DiskFull => "the disk is full: only opt-outs and erasures are taken",
            Self::DiskLow => "less than 5 % of the disk is free",
            Self::ClockStepped => {
                "the clock was set by more than a minute: nothing is deleted until the program is started again"
            }
        }
    }
}

/// What holds now. At first nothing does: the house is ready.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// Says of one reason whether it holds from now on.
    pub fn set(&self, why: NotReady, holds: bool) {
        if holds {
            self.0.fetch_or(why as u8, Ordering::SeqCst);
        } else {
            self.0.fetch_and(!(why as u8), Ordering::SeqCst);
        }
    }

    /// Whether one reason holds.
    #[must_use]
    pub fn holds(&self, why: NotReady) -> bool {
        self.0.load(Ordering::SeqCst) & why as u8 != 0
    }

    /// The first reason that holds; `None` = ready.
    #[must_use]
    pub fn why_not(&self) -> Option<NotReady> {
        NotReady::ALL.into_iter().find(|why| self.holds(*why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_comes_and_goes_by_itself_and_the_gravest_is_told() {
        let ready = Readiness::default();
        assert_eq!(ready.why_not(), None);
        ready.set(NotReady::DiskLow, true);
        ready.set(NotReady::Stopping, true);
        assert_eq!(ready.why_not(), Some(NotReady::Stopping));
        ready.set(NotReady::Stopping, false);
        ready.set(NotReady::Stopping, false);
        assert_eq!(ready.why_not(), Some(NotReady::DiskLow));
        ready.set(NotReady::DiskLow, false);
        assert_eq!(ready.why_not(), None);
        let mut words: Vec<&str> = NotReady::ALL.iter().map(|why| why.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), NotReady::ALL.len());
    }
}
