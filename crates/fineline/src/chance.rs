//! The system's chance: the only place that draws from the operating system. Cryptographic, drawn in blocks.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use model::Rng;
use std::sync::{Mutex, PoisonError};

/// Bytes drawn at once: some forty nonces or a dozen ids.
const BLOCK_BYTES: usize = 512;

/// Chance for keys, nonces, ids and tokens. Used bytes are wiped, so that a memory image holds only what is still to come.
pub struct SystemChance {
    source: SystemRandom,
    block: Mutex<Block>,
}

struct Block {
    bytes: [u8; BLOCK_BYTES],
    used: usize,
}

impl std::fmt::Debug for SystemChance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemChance")
    }
}

impl Default for SystemChance {
    fn default() -> Self {
        let block = Block { bytes: [0; BLOCK_BYTES], used: BLOCK_BYTES };
        Self { source: SystemRandom::new(), block: Mutex::new(block) }
    }
}

impl SystemChance {
    /// A machine without chance cannot keep a secret: the process ends rather than use zeros.
    fn draw(&self, out: &mut [u8]) {
        if self.source.fill(out).is_err() {
            std::process::abort();
        }
    }
}

impl Rng for SystemChance {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > BLOCK_BYTES {
            return self.draw(out);
        }
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if block.used + out.len() > BLOCK_BYTES {
            self.draw(&mut block.bytes);
            block.used = 0;
        }
        let from = block.used;
        block.used += out.len();
        for (target, source) in out.iter_mut().zip(block.bytes.iter_mut().skip(from)) {
            *target = std::mem::take(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn draws_across_blocks_never_repeat_and_are_never_left_empty() {
        let chance = SystemChance::default();
        let draws: BTreeSet<[u8; 24]> = (0..2_000).map(|_| (&chance as &dyn Rng).bytes()).collect();
        assert_eq!(draws.len(), 2_000);
        let mut long = vec![0u8; 3 * BLOCK_BYTES];
        chance.fill(&mut long);
        assert!(long.chunks(64).all(|part| part.iter().any(|byte| *byte != 0)));
    }
}
