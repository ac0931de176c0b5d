//! Randomness, in one place: secrets of throw-away systems, and ports.

use anyhow::{Context, Result};

/// Random bytes from the operating system.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A secret of 256 bits, in hexadecimal digits.
pub fn secret() -> Result<String> {
    Ok(bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[expect(clippy::disallowed_methods, reason = "the one place where xtask draws randomness")]
fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).context("cannot get random bytes from the operating system")
}
