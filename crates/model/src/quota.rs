//! How much one caller may ask for: a token bucket per caller, as a virtual time (GCRA), so that one number per caller is all
//! that is kept. Callers are remembered by a hash under a key of this process: nobody is named, and nothing is left of it.
//!
//! Our own and not a crate: sixty lines, no clock of its own, and a bound on memory that holds under a flood of callers.

use crate::Rng;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many callers are remembered at a time; beyond that those who are not known yet share one bucket.
const CALLERS_MAX: usize = 65_536;

/// What one caller may use: so much at once, and then so much a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units a second.
    pub per_second: u32,
    /// Units at once.
    pub burst: u32,
}

/// The buckets of all callers of one kind.
pub struct Buckets {
    quota: Quota,
    key: [u64; 2],
    /// When each caller's bucket is full again.
    full_at: Mutex<HashMap<u64, Duration>>,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buckets({:?})", self.quota)
    }
}

impl Buckets {
    /// Full buckets.
    #[must_use]
    pub fn new(quota: Quota, rng: &dyn Rng) -> Self {
        let half = || u64::from_be_bytes(rng.bytes());
        Self { quota, key: [half(), half()], full_at: Mutex::default() }
    }

    /// Takes units out of a caller's bucket, at an instant of a clock that never goes back.
    ///
    /// # Errors
    /// How long to wait until there are enough; nothing was taken. More than the whole bucket waits until it is full, and is
    /// taken then.
    pub fn take(&self, caller: &[u8], units: u32, now: Duration) -> Result<(), Duration> {
        let cost = self.time_of(units.min(self.quota.burst));
        let (whole, caller) = (self.time_of(self.quota.burst), self.hash(caller));
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= CALLERS_MAX && !full_at.contains_key(&caller) {
            full_at.retain(|_, full_at| *full_at > now);
        }
        let caller = if full_at.len() >= CALLERS_MAX && !full_at.contains_key(&caller) { 0 } else { caller };
        let begins = full_at.get(&caller).copied().unwrap_or(now).max(now);
        let ends = begins.saturating_add(cost);
        match ends.saturating_sub(now).checked_sub(whole) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                full_at.insert(caller, ends);
                Ok(())
            }
        }
    }

    fn time_of(&self, units: u32) -> Duration {
        Duration::from_secs(units.into()) / self.quota.per_second.max(1)
    }

    /// FNV-1a over the key and the caller, mixed: who does not know the key cannot choose whose bucket they share.
    fn hash(&self, caller: &[u8]) -> u64 {
        let [first, second] = self.key;
        let hash =
            caller.iter().fold(first, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mixed = (hash ^ second).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 32)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Seeded;

    fn buckets() -> Buckets {
        Buckets::new(Quota { per_second: 10, burst: 5 }, &Seeded::new(1))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let buckets = buckets();
        let n = (0..100).filter(|_| buckets.take(b"a", 1, ms(0)).is_ok()).count();
        assert_eq!(n, 5);
        assert_eq!(buckets.take(b"a", 1, ms(0)), Err(ms(100)));
        assert_eq!(buckets.take(b"a", 1, ms(99)), Err(ms(1)));
        assert_eq!(buckets.take(b"a", 1, ms(100)), Ok(()));
        let n = (1..=1_000).filter(|at| buckets.take(b"a", 1, ms(100 + at * 10)).is_ok()).count();
        assert_eq!(n, 100, "ten seconds at ten a second");
    }

    #[test]
    fn each_caller_has_a_bucket_of_its_own() {
        let buckets = buckets();
        while buckets.take(b"a", 1, ms(0)).is_ok() {}
        assert_eq!(buckets.take(b"b", 1, ms(0)), Ok(()));
    }

    #[test]
    fn who_was_refused_is_not_held_longer_for_having_asked() {
        let buckets = buckets();
        while buckets.take(b"a", 1, ms(0)).is_ok() {}
        assert!((0..50).all(|_| buckets.take(b"a", 1, ms(50)).is_err()));
        assert_eq!(buckets.take(b"a", 1, ms(100)), Ok(()));
    }

    #[test]
    fn more_than_a_bucket_waits_until_it_is_full() {
        let buckets = buckets();
        assert_eq!(buckets.take(b"a", 1_000, ms(0)), Ok(()));
        assert_eq!(buckets.take(b"a", 1_000, ms(100)), Err(ms(400)));
        assert_eq!(buckets.take(b"a", 1_000, ms(500)), Ok(()));
    }

    #[test]
    fn a_flood_of_callers_takes_bounded_memory_and_those_known_keep_theirs() {
        let buckets = buckets();
        assert_eq!(buckets.take(b"known", 1, ms(0)), Ok(()));
        for caller in 0..2 * CALLERS_MAX {
            let _ = buckets.take(&caller.to_be_bytes(), 1, ms(0));
        }
        assert!(buckets.full_at.lock().unwrap().len() <= CALLERS_MAX + 1);
        assert_eq!(buckets.take(b"known", 1, ms(0)), Ok(()));
        // Once their buckets are full again they are forgotten, and there is room.
        assert_eq!(buckets.take(b"new", 5, ms(1_000)), Ok(()));
    }
}
