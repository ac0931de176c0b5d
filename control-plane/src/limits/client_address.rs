//! Which address a request comes from, and whom to believe that.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use axum::http::{HeaderMap, HeaderName, header};
use shared::seal::{CLIENT_ADDRESS, EdgeSecrets, FORWARDING_TOKEN};

use crate::config::Config;

/// Who says where a request comes from.
#[derive(Debug, Default)]
pub struct AddressSource {
    /// The Worker does, of the requests that it passes on and can prove to have.
    edge: Option<EdgeSecrets>,
    /// The proxies in front do, in a header.
    proxies: Option<Proxies>,
}

/// The trusted proxies in front of the server, one behind the other.
#[derive(Debug)]
struct Proxies {
    /// The header that each of them appends to.
    header: HeaderName,
    /// How many there are, at least 1.
    hops: usize,
}

impl AddressSource {
    /// As the settings have it.
    ///
    /// # Errors
    /// If the settings of the edge are wrong, or the header cannot be one.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let name = &config.client_address_header;
        let header = (!name.is_empty()).then(|| name.parse()).transpose();
        let header = header.context("client_address_header must be a valid header name")?;
        let proxies = header.map(|header| Proxies { header, hops: config.client_address_hops });
        Ok(Self { edge: config.edge()?.map(|edge| edge.secrets), proxies })
    }

    /// The address, as limits count it. Who is believed and says nothing of use is taken for the client itself.
    pub fn address(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let claimed = match &self.proxies {
            _ if self.is_passed_on(headers) => entry_from_end(headers, CLIENT_ADDRESS, 1).and_then(parse),
            Some(proxies) => proxies.client_address(headers),
            None => None,
        };
        claimed.or(peer.map(|peer| peer.ip())).map(counted)
    }

    fn is_passed_on(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(FORWARDING_TOKEN).and_then(|token| token.to_str().ok());
        token.is_some_and(|token| self.edge.as_ref().is_some_and(|edge| edge.admits_forwarding(token)))
    }
}

impl Proxies {
    fn client_address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let entry = entry_from_end(headers, self.header.as_str(), self.hops)?;
        parse(if self.header == header::FORWARDED { forwarded_for(entry)? } else { entry })
    }
}

/// The `position`th entry of a list header, counted from the end, where the proxy nearest to us appends. Empty entries count:
/// if they did not, an empty one of a proxy would make an entry of the client count.
fn entry_from_end<'a>(headers: &'a HeaderMap, name: &str, position: usize) -> Option<&'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| split_from_end(line.as_bytes(), b',')).nth(position.checked_sub(1)?)
}

/// The value of the parameter `for` of an element of the header `Forwarded` (RFC 7239), without its quotes.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    split_from_end(element, b';').find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(4)?;
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

/// Splits at a separator that is outside quotes, and begins at the end. The client wrote the beginning, which can be anything:
/// bytes that are not text, or a quote that is never closed. What the proxies appended must be found behind it.
fn split_from_end(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest.take()?;
        let mut is_quoted = false;
        let start = bytes.iter().enumerate().rposition(|(index, byte)| {
            is_quoted ^= *byte == b'"' && !ends_with_escape(&bytes[..index]);
            *byte == separator && !is_quoted
        });
        let Some(start) = start else { return Some(bytes.trim_ascii()) };
        rest = Some(&bytes[..start]);
        Some(bytes[start + 1..].trim_ascii())
    })
}

/// Whether the next character is escaped by a backslash that is not escaped itself.
fn ends_with_escape(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An address, with or without brackets, with or without a port.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        let is_port = port.is_empty() || port.starts_with(':');
        return address.parse().ok().filter(|_| is_port).map(IpAddr::V6);
    }
    // Without brackets, only an address of the fourth version can have a port.
    text.parse().ok().or_else(|| text.split_once(':')?.0.parse().ok().map(IpAddr::V4))
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
        let proxies = (!header.is_empty()).then(|| Proxies { header: header.parse().unwrap(), hops: 1 });
        AddressSource { edge, proxies }
    }

    fn behind(header: &str, hops: usize) -> AddressSource {
        AddressSource { edge: None, proxies: Some(Proxies { header: header.parse().unwrap(), hops }) }
    }

    fn address(source: &AddressSource, headers: &[(&'static str, &str)]) -> String {
        let of = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
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

    /// The peer, which counts where nothing of use was sent.
    const PEER: &str = "192.0.2.1";

    #[test]
    fn address_of_proxy_is_parsed_in_every_spelling() {
        for (sent, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            (" 198.51.100.7\t", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
            ("[198.51.100.7]", PEER),
            ("[2001:db8:1:2::9", PEER),
            ("[2001:db8:1:2::9]443", PEER),
            ("fe80::1%eth0", PEER),
            ("[fe80::1%1]:443", PEER),
            ("unknown", PEER),
            ("", PEER),
            (",", PEER),
            ("198.51.100.7,", PEER),
        ] {
            assert_eq!(address(&behind("x-forwarded-for", 1), &[("x-forwarded-for", sent)]), expected, "{sent:?}");
        }
    }

    #[test]
    fn entry_that_the_trusted_hops_point_to_counts_across_lines() {
        for (hops, lines, expected) in [
            (1, &["10.0.0.1, 198.51.100.7"][..], "198.51.100.7"),
            (1, &["10.0.0.1", "10.0.0.2"], "10.0.0.2"),
            (2, &["10.0.0.1, 198.51.100.7, 10.0.0.3"], "198.51.100.7"),
            (2, &["10.0.0.1,198.51.100.7", "10.0.0.3"], "198.51.100.7"),
            (2, &["10.0.0.1", "198.51.100.7,10.0.0.3"], "198.51.100.7"),
            (3, &["10.0.0.1", "10.0.0.2", "10.0.0.3"], "10.0.0.1"),
            // A proxy is missing: whoever sent this has not come through all of them.
            (2, &["10.0.0.1"], PEER),
            (2, &["10.0.0.1, , 10.0.0.3"], PEER),
            // What the client sent is no text. It must not spoil what the proxies appended.
            (1, &["ä, 198.51.100.7"], "198.51.100.7"),
            (2, &["\", 10.0.0.1", "ä", "198.51.100.7, 10.0.0.3"], "198.51.100.7"),
            (1, &["198.51.100.7, ä"], PEER),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(address(&behind("x-forwarded-for", hops), &headers), expected, "{hops} {lines:?}");
        }
    }

    #[test]
    fn forwarded_header_is_read_whatever_the_client_put_before() {
        for (hops, sent, expected) in [
            (1, "for=198.51.100.7", "198.51.100.7"),
            (1, "For=\"198.51.100.7:4711\"", "198.51.100.7"),
            (1, "proto=https;FOR=\"[2001:db8:1:2::9]:_port\"; by=10.0.0.3", "2001:db8:1:2::"),
            (2, "for=10.0.0.1, for=198.51.100.7, for=10.0.0.3", "198.51.100.7"),
            (1, "for=\"10.0.0.1, for=198.51.100.7", "198.51.100.7"),
            (1, "for=\"10.0.0.1\\, for=\"[2001:db8:1:2::9]\"", "2001:db8:1:2::"),
            // A proxy may quote what the client sent.
            (1, "for=198.51.100.7;host=\"a,for=10.0.0.1\"", "198.51.100.7"),
            (1, "for=198.51.100.7;host=\"a;for=10.0.0.1\"", "198.51.100.7"),
            (1, "for=198.51.100.7;host=\"a\\\",for=10.0.0.1;b=\"", "198.51.100.7"),
            (1, "for=unknown", PEER),
            (1, "for=_hidden", PEER),
            (1, "by=198.51.100.7", PEER),
            (1, "198.51.100.7", PEER),
            (1, "for", PEER),
        ] {
            assert_eq!(address(&behind("forwarded", hops), &[("forwarded", sent)]), expected, "{sent:?}");
        }
    }
}
