//! Which IP addresses a delivery may be sent to: those that anybody on the internet could reach, and the networks that
//! the operator allows.
//!
//! Customers choose the URLs of endpoints. Without this rule, they could make Latchkey send requests into the network
//! that it runs in: to other services, or to the address where clouds hand out credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Which addresses may be connected to. The default allows no private network.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Networks that are permitted although they are not public.
    pub allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// Whether a connection to the address may be opened.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.is_allowed(address)
            || match address {
                IpAddr::V4(v4) => is_public_v4(v4),
                IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
            }
    }

    /// Whether a request to the address may be sent without TLS. Only the operator can say that of a network.
    #[must_use]
    pub fn permits_plain_http(&self, address: IpAddr) -> bool {
        self.is_allowed(address)
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
        };
        let contains = |address: &IpAddr| self.allowed.iter().any(|network| network.contains(address));
        contains(&address) || embedded.as_ref().is_some_and(contains)
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address))
}

/// Global unicast addresses are assigned from 2000::/3 alone. All else is local, reserved or for several receivers.
fn is_public_v6(address: Ipv6Addr) -> bool {
    GLOBAL_UNICAST_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
}

/// The IPv4 address to which the system or a gateway translates this one.
///
/// A network can divide 64:ff9b:1::/48 as it likes, and the place of the IPv4 address depends on that. Only in the
/// first /96 is it certain. The rest is checked as IPv6, and refused.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, a, b, ..] = address.segments();
    if SIX_TO_FOUR.contains(&address) {
        return Some(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)));
    }
    let [.., a, b] = address.segments();
    let is_translated = V4_AT_THE_END.iter().any(|network| network.contains(&address));
    is_translated.then(|| Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length)
}

const fn v6(a: u16, b: u16, c: u16, prefix_length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix_length)
}

/// From IANA's registry of special-purpose IPv4 addresses, and two more.
const NOT_PUBLIC_V4: [Ipv4Net; 18] = [
    v4(0, 0, 0, 0, 8),          // "this network"
    v4(10, 0, 0, 0, 8),         // private
    v4(100, 64, 0, 0, 10),      // shared by the customers of a carrier (CGNAT)
    v4(127, 0, 0, 0, 8),        // loopback
    v4(168, 63, 129, 16, 32),   // Azure's services for a virtual machine, on an address that looks public
    v4(169, 254, 0, 0, 16),     // link-local, and where clouds hand out credentials
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // IETF protocol assignments
    v4(192, 0, 2, 0, 24),       // documentation
    v4(192, 88, 99, 0, 24),     // relays of 6to4, deprecated
    v4(192, 168, 0, 0, 16),     // private
    v4(198, 18, 0, 0, 15),      // benchmarking
    v4(198, 51, 100, 0, 24),    // documentation
    v4(203, 0, 113, 0, 24),     // documentation
    v4(224, 0, 0, 0, 4),        // multicast
    v4(233, 252, 0, 0, 24),     // documentation of multicast
    v4(240, 0, 0, 0, 4),        // reserved
    v4(255, 255, 255, 255, 32), // broadcast
];

const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What is special within [`GLOBAL_UNICAST_V6`].
const NOT_PUBLIC_V6: [Ipv6Net; 3] = [
    v6(0x2001, 0, 0, 23),     // IETF protocol assignments, among them Teredo
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// The IPv4 address follows the first 16 bits.
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);

/// The IPv4 address is the last 32 bits.
const V4_AT_THE_END: [Ipv6Net; 4] = [
    v6(0, 0, 0, 96),                                                     // v4-compatible, with :: and ::1
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), // v4-mapped
    v6(0x64, 0xff9b, 0, 96),                                             // NAT64
    v6(0x64, 0xff9b, 1, 96),                                             // NAT64 within one network
];

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy(allowed: &[&str]) -> AddressPolicy {
        AddressPolicy { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn public_address_is_permitted() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "3ffe::1",
            "3fff:1000::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(AddressPolicy::default().permits(address(text)), "{text}");
        }
    }

    #[test]
    fn address_that_is_not_public_is_refused() {
        for text in [
            "0.0.0.0",
            "0.0.0.1",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.192",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "233.252.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "254.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "100::1",
            "100:0:0:1::1",
            "1fff::1",
            "2001::1",
            "2001:0:53aa:64c:0:5efe:808:808",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!AddressPolicy::default().permits(address(text)), "{text}");
        }
    }

    #[test]
    fn embedded_private_ipv4_address_is_refused() {
        for text in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "::ffff:0.0.0.0",
            "::127.0.0.1",
            "::10.0.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::10.0.0.1",
            // 169.254.169.254 at the place for a /48, and 8.8.8.8 at the place for a /96.
            "64:ff9b:1:a9fe:a9:fe00:808:808",
            "64:ff9b:1:1::8.8.8.8",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:c0a8:1::808:808",
        ] {
            assert!(!AddressPolicy::default().permits(address(text)), "{text}");
        }
    }

    #[test]
    fn allowed_network_is_permitted_in_every_spelling() {
        let policy = policy(&["10.1.0.0/16", "fd00::/8"]);
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::", "fd00:ec2::254"] {
            assert!(policy.permits(address(text)) && policy.permits_plain_http(address(text)), "{text}");
        }
        for text in ["10.2.0.1", "::ffff:10.2.0.1", "127.0.0.1", "fc00::1"] {
            assert!(!policy.permits(address(text)) && !policy.permits_plain_http(address(text)), "{text}");
        }
    }

    #[test]
    fn public_address_is_refused_without_tls() {
        assert!(!policy(&["10.1.0.0/16"]).permits_plain_http(address("8.8.8.8")));
        assert!(policy(&["8.8.8.0/24"]).permits_plain_http(address("8.8.8.8")));
    }
}
