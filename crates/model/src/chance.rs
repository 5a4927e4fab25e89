//! Chance as a parameter. The program makes one source; everything that draws takes it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of randomness. The program's own is cryptographic; tests and simulations pass [`Seeded`].
pub trait Rng: Send + Sync {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Rng + '_ {
    /// A fixed number of random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A number below `bound` without bias worth speaking of (64-bit multiply-shift); 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        let draw = u64::from_le_bytes(self.bytes());
        u64::try_from((u128::from(draw) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A number in [0, 1).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    pub fn unit(&self) -> f64 {
        (u64::from_le_bytes(self.bytes()) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Repeatable chance for tests and simulations (splitmix64). Never for keys.
#[derive(Debug)]
pub struct Seeded(AtomicU64);

impl Seeded {
    /// Same seed, same draws.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Rng for Seeded {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            for (target, source) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                *target = source;
            }
        }
    }
}
