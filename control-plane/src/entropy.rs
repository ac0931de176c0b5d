//! The one place that reads randomness: the operating system's generator.

use shared::entropy::Entropy;

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// If the operating system has no randomness to give. There is nothing safe to do then but to stop.
    #[expect(clippy::disallowed_methods, reason = "this module owns the randomness")]
    #[expect(clippy::expect_used, reason = "a key without randomness must never come to be")]
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}

/// A random number, such as the name of a claim.
pub fn random_i64() -> i64 {
    let mut bytes = [0; 8];
    OsEntropy.fill(&mut bytes);
    i64::from_le_bytes(bytes)
}
