//! Parses the addresses that a key may be used from.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::service::fields::Checks;

/// How many ranges one key may have.
pub const IP_RANGES_MAX: usize = 50;

/// Parses addresses and ranges, removes repeated ones, and records what is wrong with any of them.
pub fn parse_all(checks: &mut Checks, texts: &[String]) -> Vec<IpNet> {
    let field = "ip_allow_list";
    checks.at_most_items(field, texts.len(), IP_RANGES_MAX);
    let mut ranges = Vec::new();
    for (at, text) in texts.iter().enumerate().take(IP_RANGES_MAX) {
        match parse(text) {
            Ok(range) if ranges.contains(&range) => {}
            Ok(range) => ranges.push(range),
            Err(message) => checks.require(false, &format!("{field}.{at}"), "invalid", message),
        }
    }
    ranges
}

/// An address is the range that holds nothing else. An IPv4-mapped IPv6 address is that IPv4 address, as it is when a key is
/// validated.
fn parse(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let range: IpNet = text.parse().map_err(|_| "must be an IPv4 or IPv6 address, or a range such as 192.0.2.0/24")?;
    // The caller means either the address or the range, and only the caller knows which.
    if range.trunc() == range {
        Ok(unmapped(range))
    } else {
        Err(format!("goes beyond its prefix: the range is {}, the address {}", range.trunc(), range.addr()))
    }
}

fn unmapped(range: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(v6) = range else { return range };
    let mapped = v6.prefix_len().checked_sub(MAPPED).zip(Ipv6Addr::to_ipv4_mapped(&v6.addr()));
    let v4 = mapped.and_then(|(length, address)| Ipv4Net::new(address, length).ok());
    v4.map_or(range, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges_of_both_families_are_read_in_one_form() {
        for (text, range) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::fffe:0:0/95", "::fffe:0:0/95"),
        ] {
            assert_eq!(parse(text).map(|range| range.to_string()).as_deref(), Ok(range), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_and_a_range_that_is_not_one_is_explained() {
        for text in [
            "",
            " 192.0.2.7",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "192.0.02.1",
            "::/129",
            "a.example",
            "*",
            "/24",
        ] {
            assert!(parse(text).unwrap_err().starts_with("must be"), "{text}");
        }
        let explained = parse("192.0.2.7/24").unwrap_err();
        assert_eq!(explained, "goes beyond its prefix: the range is 192.0.2.0/24, the address 192.0.2.7");
        assert!(parse("2001:db8::1/32").unwrap_err().contains("2001:db8::/32"));
    }

    #[test]
    fn a_list_has_an_end_and_nothing_twice() {
        let mut checks = Checks::default();
        let texts = ["192.0.2.7", "::1", "::ffff:192.0.2.7"].map(str::to_owned);
        assert_eq!(parse_all(&mut checks, &texts).len(), 2);
        assert!(checks.finish().is_ok());
        let mut checks = Checks::default();
        parse_all(&mut checks, &vec!["::1".to_owned(); IP_RANGES_MAX + 1]);
        assert!(checks.finish().is_err());
    }
}
