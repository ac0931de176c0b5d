//! Ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};

use crate::random;

/// Below the range from which the operating system serves outgoing connections and "any port", so that nothing takes a
/// port between the moment that we let it go and the moment that a child listens there.
const RESERVED: std::ops::Range<u16> = 10_000..32_768;
const ATTEMPTS: usize = 100;

/// A port that nobody else can have as long as this lives.
pub struct Reservation {
    port: u16,
    _listener: TcpListener,
}

impl Reservation {
    /// Lets the port go, so that a child can listen there.
    pub fn release(self) -> u16 {
        self.port
    }
}

/// Reserves the wanted port, or, for 0, a free one. `flag` is how the user chose it.
pub fn reserve(wanted: u16, flag: &str) -> Result<Reservation> {
    if wanted == 0 {
        return any();
    }
    listen(wanted).with_context(|| {
        format!("port {wanted} is in use; choose another with `{flag} PORT`, or use `{flag} 0` for any free port")
    })
}

/// Reserves some free port.
pub fn any() -> Result<Reservation> {
    for _ in 0..ATTEMPTS {
        let port = RESERVED.start + u16::from_le_bytes(random::bytes()?) % (RESERVED.end - RESERVED.start);
        if let Some(reservation) = listen(port) {
            return Ok(reservation);
        }
    }
    bail!("no free port found in {ATTEMPTS} attempts")
}

fn listen(port: u16) -> Option<Reservation> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(Reservation { port, _listener: listener })
}
