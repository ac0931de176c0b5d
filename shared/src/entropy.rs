//! Randomness is handed in, so that the owner of the real generator is in one place and tests can choose.

/// A source of random bytes.
pub trait Entropy {
    /// Fills `bytes` with bytes that nobody can predict (or, in a test, that everybody can).
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn fill(&mut self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// The same byte for ever. For examples and golden vectors only: its keys are no secret.
#[derive(Debug, Clone, Copy)]
pub struct Repeating(pub u8);

impl Entropy for Repeating {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}
