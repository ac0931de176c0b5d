//! Checks the URL of an endpoint when it is created or changed, so that its owner learns of a mistake early. The sender
//! checks what a name resolves to, for each connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::address::AddressPolicy;
use crate::text::is_invisible;

/// The longest URL of an endpoint, before and after percent-encoding.
pub const URL_MAX_LENGTH: usize = 2048;

const TOO_LONG: &str = "must have at most 2048 characters";
const HAS_SPACE: &str = "must not contain spaces, control characters or invisible characters";
const NOT_HTTPS: &str = "must be an https URL, such as https://example.com/webhooks";
const HAS_CREDENTIALS: &str = "must not contain a user name or a password";
const HAS_FRAGMENT: &str = "must not contain a fragment (#)";
const PORT_ZERO: &str = "must have a port from 1 to 65535, or no port";
const BAD_HOST: &str = "must have a host of letters, digits, dots and hyphens, or an IP address";
const NOT_PUBLIC: &str = "must not lead to a private, local or reserved address";

/// Parses the URL of an endpoint, in its canonical form.
///
/// # Errors
/// With what is wrong with it, as the message of a field.
pub fn parse_endpoint_url(text: &str, policy: &AddressPolicy) -> Result<Url, &'static str> {
    require(text.chars().count() <= URL_MAX_LENGTH, TOO_LONG)?;
    // The parser removes some of these without a word, and the URL would not be the one that its owner wrote.
    require(!text.chars().any(|c| c.is_control() || is_invisible(c)), HAS_SPACE)?;
    let url = Url::parse(text).map_err(|_| NOT_HTTPS)?;
    require(has_permitted_scheme(text, &url, policy), NOT_HTTPS)?;
    require(url.username().is_empty() && url.password().is_none(), HAS_CREDENTIALS)?;
    require(url.fragment().is_none(), HAS_FRAGMENT)?;
    require(url.port() != Some(0), PORT_ZERO)?;
    require(url.as_str().len() <= URL_MAX_LENGTH, TOO_LONG)?;
    check_host(&url, policy)?;
    Ok(url)
}

/// The address that the URL names instead of a host, if it does. The parser has turned every spelling into
/// one: `0x7f.1` and `2130706433` have become `127.0.0.1`.
pub(super) fn ip_literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    v6.unwrap_or(host).parse().ok()
}

fn require(condition: bool, message: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(message) }
}

/// The parser also accepts `https:example.com`, `https:\\example.com` and `https:///example.com`, which are probably mistakes.
fn has_permitted_scheme(text: &str, url: &Url, policy: &AddressPolicy) -> bool {
    let is_permitted = match url.scheme() {
        "https" => true,
        "http" => !policy.allowed.is_empty(),
        _ => false,
    };
    is_permitted && text.get(url.scheme().len()..).is_some_and(begins_with_host)
}

fn begins_with_host(after_scheme: &str) -> bool {
    after_scheme.strip_prefix("://").is_some_and(|rest| !rest.starts_with(['/', '\\']))
}

fn check_host(url: &Url, policy: &AddressPolicy) -> Result<(), &'static str> {
    if let Some(address) = ip_literal(url) {
        require(policy.permits(address), NOT_PUBLIC)?;
        return require(url.scheme() == "https" || policy.permits_plain_http(address), NOT_HTTPS);
    }
    let host = url.host_str().unwrap_or_default();
    require(is_host_name(host), BAD_HOST)?;
    require(!is_localhost(host) || permits_localhost(policy), NOT_PUBLIC)
}

/// The parser has converted names with other letters to ASCII. Underscores occur in the host names of local networks.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

fn permits_localhost(policy: &AddressPolicy) -> bool {
    policy.permits(Ipv4Addr::LOCALHOST.into()) || policy.permits(Ipv6Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, allowed: &[&str]) -> Result<String, &'static str> {
        let policy = AddressPolicy { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect() };
        parse_endpoint_url(text, &policy).map(String::from)
    }

    #[test]
    fn https_url_of_a_public_host_is_accepted() {
        for (text, url) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/Hooks?a=1&b=%20", "https://example.com/Hooks?a=1&b=%20"),
            ("https://example.com:8443/hooks", "https://example.com:8443/hooks"),
            ("https://example.com./", "https://example.com./"),
            ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
            ("https://localhost.example.com/", "https://localhost.example.com/"),
            ("https://mylocalhost/", "https://mylocalhost/"),
        ] {
            assert_eq!(parse(text, &[]).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn url_that_is_not_absolute_and_https_is_refused() {
        for text in [
            "",
            "example.com",
            "/hooks",
            "//example.com/hooks",
            "https:",
            "https://",
            "https:example.com",
            "https:/example.com",
            r"https:\\example.com",
            r"https://\example.com",
            "https:///example.com",
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/plain,a",
            "https://example.com:99999/",
            "https://[::1",
            "https://exa%00mple.com/",
            "https://256.256.256.256/",
        ] {
            assert_eq!(parse(text, &[]), Err(NOT_HTTPS), "{text}");
        }
    }

    #[test]
    fn url_with_space_or_invisible_characters_is_refused() {
        for text in [
            " https://example.com",
            "https://example.com ",
            "https://example.com/a b",
            "https://exa\tmple.com",
            "https://example.com/\n",
            "https://example.com/\0",
            "https://example.com/\u{a0}",
            "https://example\u{200b}.com/",
        ] {
            assert_eq!(parse(text, &[]), Err(HAS_SPACE), "{text:?}");
        }
    }

    #[test]
    fn url_with_credentials_is_refused() {
        for text in ["https://user@example.com/", "https://user:pass@example.com/", "https://:pass@example.com/"] {
            assert_eq!(parse(text, &[]), Err(HAS_CREDENTIALS), "{text}");
        }
    }

    #[test]
    fn url_with_port_0_is_refused() {
        assert_eq!(parse("https://example.com:0/", &[]), Err(PORT_ZERO));
    }

    #[test]
    fn url_with_a_fragment_is_refused() {
        for text in ["https://example.com/#a", "https://example.com/#"] {
            assert_eq!(parse(text, &[]), Err(HAS_FRAGMENT), "{text}");
        }
    }

    #[test]
    fn url_beyond_the_maximum_length_is_refused() {
        let of_length = |length: usize| format!("https://example.com/{}", "a".repeat(length - 20));
        assert!(parse(&of_length(URL_MAX_LENGTH), &[]).is_ok());
        assert_eq!(parse(&of_length(URL_MAX_LENGTH + 1), &[]), Err(TOO_LONG));
        let grows_when_encoded = format!("https://example.com/{}", "ä".repeat(400));
        assert_eq!(parse(&grows_when_encoded, &[]), Err(TOO_LONG));
    }

    #[test]
    fn host_that_no_name_can_have_is_refused() {
        let long_label = format!("https://{}.example/", "a".repeat(64));
        let long_name = format!("https://{}example/", "a.".repeat(130));
        for text in
            ["https://a..example/", "https://./", "https://{a}.example/", "https://a!b/", &long_label, &long_name]
        {
            assert_eq!(parse(text, &[]), Err(BAD_HOST), "{text}");
        }
    }

    #[test]
    fn private_address_is_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "１２７.0.0.1",
            "%31%32%37.0.0.1",
            "0",
            "169.254.169.254",
            "0xa9fea9fe",
            "10.0.0.1",
            "[::1]",
            "[::]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "api.localhost",
            "api.localhost.",
        ] {
            assert_eq!(parse(&format!("https://{host}/"), &[]), Err(NOT_PUBLIC), "{host}");
        }
    }

    #[test]
    fn allowed_network_permits_http_and_local_names() {
        let loopback = ["127.0.0.0/8"];
        for text in [
            "http://127.0.0.1:3000/",
            "http://localhost:3000/",
            "https://localhost/",
            "http://api.localhost/",
            "http://my_service/",
            "http://2130706433/",
        ] {
            assert!(parse(text, &loopback).is_ok(), "{text}");
        }
        assert_eq!(parse("http://8.8.8.8/", &loopback), Err(NOT_HTTPS));
        assert_eq!(parse("http://10.0.0.1/", &loopback), Err(NOT_PUBLIC));
        assert_eq!(parse("http://localhost/", &["10.0.0.0/8"]), Err(NOT_PUBLIC));
        assert!(parse("http://localhost/", &["::1/128"]).is_ok());
    }
}
