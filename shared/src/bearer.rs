//! `Authorization: Bearer …` and its counterpart, `WWW-Authenticate` (RFC 6750, RFC 9110).

/// The token of an `Authorization` header: the scheme in any case, one or more spaces, and what follows them.
///
/// Two headers are none: where they arrive as one, joined by a comma, no token of ours matches.
#[must_use]
pub fn token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim_ascii().split_once(' ')?;
    let token = token.trim_ascii_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What `WWW-Authenticate` says with a 401, depending on whether the request had an `Authorization` header.
#[must_use]
pub const fn challenge(has_authorization: bool) -> &'static str {
    if has_authorization { r#"Bearer realm="latchkey", error="invalid_token""# } else { r#"Bearer realm="latchkey""# }
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn bearer_token_is_read_in_any_case_and_after_any_number_of_spaces() {
        for header in ["Bearer abc", "bearer abc", "BEARER   abc", "bEaReR abc  ", " Bearer abc"] {
            assert_eq!(token(header), Some("abc"), "{header:?}");
        }
        for header in ["", "Bearer", "Bearer ", "Bearer    ", "abc", "Basic abc", "Bearerabc", "Bearer\tabc"] {
            assert_eq!(token(header), None, "{header:?}");
        }
    }

    #[test]
    fn two_joined_headers_are_no_token_of_either() {
        assert_eq!(token("Bearer abc, Bearer abc"), Some("abc, Bearer abc"));
        assert_eq!(token("Bearer, Bearer abc"), None);
        assert_eq!(token(", Bearer abc"), None);
    }
}
