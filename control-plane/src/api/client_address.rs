//! Which address a request comes from, and whom to believe that.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use axum::http::{HeaderMap, HeaderName};
use shared::seal::{CLIENT_ADDRESS, EdgeSecrets, FORWARDING_TOKEN};

use crate::config::Config;

/// Who says where a request comes from.
#[derive(Debug, Default)]
pub struct AddressSource {
    /// The Worker does, of the requests that it passes on and can prove to have.
    edge: Option<EdgeSecrets>,
    /// The proxy in front does, in this header.
    header: Option<HeaderName>,
}

impl AddressSource {
    /// As the settings have it.
    ///
    /// # Errors
    /// If the settings of the edge are wrong, or the header cannot be one.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let name = &config.client_address_header;
        let header = (!name.is_empty()).then(|| name.parse()).transpose();
        let header = header.context("client_address_header must be the name of a header")?;
        Ok(Self { edge: config.edge()?.map(|edge| edge.secrets), header })
    }

    /// The address, as limits count it. Who is believed and says nothing of use is taken for the client itself.
    pub fn address(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let told = match &self.header {
            _ if self.is_passed_on(headers) => last(headers, CLIENT_ADDRESS),
            Some(header) => last(headers, header.as_str()),
            None => None,
        };
        told.and_then(parse).or(peer.map(|peer| peer.ip())).map(counted)
    }

    fn is_passed_on(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(FORWARDING_TOKEN).and_then(|token| token.to_str().ok());
        token.is_some_and(|token| self.edge.as_ref().is_some_and(|edge| edge.admits_forwarding(token)))
    }
}

/// The last of a header's values, which is the one that whoever is nearest to us has added.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?;
    line.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Whoever has one address of the sixth version mostly has the 2^64 around it.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const SECRET: &str = "a secret of the tests and of no use to anybody";

    fn source(header: &str, has_edge: bool) -> AddressSource {
        let edge = has_edge.then(|| EdgeSecrets::parse(SECRET).unwrap());
        AddressSource { edge, header: (!header.is_empty()).then(|| header.parse().unwrap()) }
    }

    fn address(source: &AddressSource, headers: &[(&'static str, &str)]) -> String {
        let of = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(of) {
            map.append(name, value);
        }
        source.address(&map, Some("192.0.2.1:4711".parse().unwrap())).unwrap().to_string()
    }

    #[test]
    fn nobody_is_believed_unasked() {
        let secrets = EdgeSecrets::parse(SECRET).unwrap();
        let claims =
            |token| [(FORWARDING_TOKEN, token), (CLIENT_ADDRESS, "198.51.100.7"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(address(&source("", false), &claims(secrets.forwarding_token())), "192.0.2.1");
        for token in ["", "garbage", secrets.ingress_token(), secrets.usage_token()] {
            assert_eq!(address(&source("", true), &claims(token)), "192.0.2.1", "{token}");
        }
        assert_eq!(address(&source("", true), &claims(secrets.forwarding_token())), "198.51.100.7");
    }

    #[test]
    fn the_worker_is_believed_before_the_proxy_and_needs_to_say_something() {
        let secrets = EdgeSecrets::parse(SECRET).unwrap();
        let token = (FORWARDING_TOKEN, secrets.forwarding_token());
        let proxy = ("x-real-ip", "203.0.113.9");
        let source = source("X-Real-IP", true);
        assert_eq!(address(&source, &[token, proxy, (CLIENT_ADDRESS, "198.51.100.7")]), "198.51.100.7");
        assert_eq!(address(&source, &[token, proxy]), "192.0.2.1");
        assert_eq!(address(&source, &[proxy, (CLIENT_ADDRESS, "198.51.100.7")]), "203.0.113.9");
    }

    #[test]
    fn of_a_list_the_last_one_counts_in_any_spelling() {
        let source = source("x-forwarded-for", false);
        for (given, counted) in [
            ("198.51.100.7", "198.51.100.7"),
            ("10.0.0.1, 198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
            ("198.51.100.7, unknown", "192.0.2.1"),
            ("", "192.0.2.1"),
        ] {
            assert_eq!(address(&source, &[("x-forwarded-for", given)]), counted, "{given}");
        }
        assert_eq!(address(&source, &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")]), "10.0.0.2");
    }
}
