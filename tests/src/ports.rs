//! Ports for children that must be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the system serves whoever asks for any port, so that nobody is given it meanwhile.
const RESERVED: std::ops::Range<u64> = 10_000..32_768;
const ATTEMPTS: usize = 100;

/// A port of the loopback interface where nobody listens.
///
/// # Panics
/// If there seems to be none.
#[must_use]
pub fn free() -> u16 {
    let at_random = || RESERVED.start + crate::unique() % (RESERVED.end - RESERVED.start);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut ports = (0..ATTEMPTS).filter_map(|_| u16::try_from(at_random()).ok());
    ports.find(is_free).expect("some port is free")
}
