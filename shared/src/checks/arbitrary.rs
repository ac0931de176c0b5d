//! Values of every kind, the usual and the odd.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{Index, select},
};

use crate::{
    Timestamp,
    entropy::Entropy,
    id::{ApiKeyId, EnvironmentId, ManagementKeyId, MembershipId, OrganizationId, RoleId, UserId},
    key::{KeyText, Prefix},
    permission::Expression,
    record::{ApiKeyGrant, Generations, Grant, ManagementKeyGrant, Membership, Owner, Record, Revoked, Role, Version},
};

/// Bytes that count up from a start, so that vectors can be made anywhere.
pub struct Counting(pub u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

/// Bytes as they were drawn, again and again.
#[derive(Debug, Clone)]
struct Drawn(Vec<u8>, usize);

impl Entropy for Drawn {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
    }
}

/// Where a record can be changed, and which character to put there.
pub fn place() -> impl Strategy<Value = Index> {
    any::<Index>()
}

fn entropy() -> impl Strategy<Value = Drawn> {
    // The zero keeps a draw of nothing but refused bytes from going on for ever.
    vec(any::<u8>(), 80).prop_map(|mut bytes| {
        bytes.push(0);
        Drawn(bytes, 0)
    })
}

fn text_of(alphabet: &'static str, lengths: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let characters: Vec<char> = alphabet.chars().collect();
    vec(select(characters), lengths).prop_map(String::from_iter)
}

/// Any text at all.
pub fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..24).prop_map(String::from_iter)
}

/// Any text that is hard to tell from a key.
pub fn text_like_a_key() -> impl Strategy<Value = String> {
    prop_oneof![text(), text_of("lk_ive09AZaz", 0..60), (key(), text()).prop_map(|(key, text)| key + &text), key()]
}

/// Any text that is hard to tell from an expression.
pub fn text_like_an_expression() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &["a", "posts:read", "AND", "OR", "(", ")", " ", "  ", "\t", "*", "é", "and", "A"];
    prop_oneof![text(), vec(select(WORDS), 0..60).prop_map(|words| words.concat())]
}

/// A prefix of an environment.
pub fn prefix() -> impl Strategy<Value = Prefix> {
    (text_of("abcxyz", 1..2), text_of("abz019_", 0..23), text_of("az09", 1..2))
        .prop_filter_map("the reserved prefix", |(first, middle, last)| (first + &middle + &last).parse().ok())
}

/// A key of an environment.
pub fn key() -> impl Strategy<Value = String> {
    (prefix(), entropy()).prop_map(|(prefix, mut entropy)| KeyText::generate(&prefix, &mut entropy).expose().to_owned())
}

/// A moment that can be shown, with a good share of those close to each other.
pub fn timestamp() -> impl Strategy<Value = Timestamp> {
    let shown = 0..253_402_300_800_000_i64;
    prop_oneof![shown, 1_768_478_400_000..1_768_478_400_010_i64, 0..10_i64].prop_map(Timestamp::from_millis)
}

macro_rules! ids {
    ($($name:ident -> $id:ident)*) => {$(
        /// An id.
        pub fn $name() -> impl Strategy<Value = $id> {
            (timestamp(), entropy()).prop_map(|(now, mut entropy)| $id::generate(now, &mut entropy))
        }
    )*};
}

ids! {
    environment_id -> EnvironmentId
    organization_id -> OrganizationId
    user_id -> UserId
    api_key_id -> ApiKeyId
    management_key_id -> ManagementKeyId
    membership_id -> MembershipId
    role_id -> RoleId
}

/// Permissions that a key may hold.
pub fn permissions() -> impl Strategy<Value = Vec<String>> {
    vec(permission(), 0..6)
}

/// A permission, from so few that two of them often have to do with each other.
pub fn permission() -> impl Strategy<Value = String> {
    const SLUGS: &[&str] =
        &["posts:read", "posts:write", "posts:*", "posts:read:own", "posts", "admin", "*", "post*", "a", "b"];
    select(SLUGS).prop_map(str::to_owned)
}

/// A demand.
pub fn expression() -> impl Strategy<Value = Expression> {
    permission().prop_map(Expression::Permission).prop_recursive(6, 24, 4, |inner| {
        let parts = vec(inner, 2..5);
        (parts, any::<bool>())
            .prop_map(|(parts, all)| if all { Expression::All(parts) } else { Expression::Any(parts) })
    })
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        organization_id().prop_map(|id| Owner::Organization { id }),
        (user_id(), organization_id()).prop_map(|(id, organization_id)| Owner::User { id, organization_id }),
    ]
}

fn api_key_grant() -> impl Strategy<Value = Grant> {
    let ranges = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"].map(|range| range.parse());
    let ranges: Vec<ipnet::IpNet> = ranges.into_iter().flatten().collect();
    let metadata = btree_map(text(), text(), 0..3);
    let limits = (vec(text(), 0..3), vec(select(ranges), 0..3), metadata, option::of(timestamp()));
    (api_key_id(), owner(), permissions(), limits, option::of(membership())).prop_map(
        |(id, owner, permissions, (resources, ip_allow_list, metadata, last_used_at), membership)| {
            let membership = membership.filter(|_| matches!(owner, Owner::User { .. }));
            let key =
                ApiKeyGrant { id, owner, permissions, resources, ip_allow_list, metadata, last_used_at, membership };
            Grant::ApiKey(key)
        },
    )
}

fn management_key_grant() -> impl Strategy<Value = Grant> {
    (management_key_id(), vec(text(), 0..4), vec(prefix(), 0..3), any::<bool>()).prop_map(
        |(id, scopes, prefixes, accepts_foreign)| {
            Grant::ManagementKey(ManagementKeyGrant { id, scopes, prefixes, accepts_foreign })
        },
    )
}

fn generations() -> impl Strategy<Value = Generations> {
    let some = (any::<i64>(), any::<i64>());
    let some = some.prop_map(|(environment, organization)| Generations { environment, organization });
    prop_oneof![Just(Generations::default()), some]
}

/// A role.
pub fn role() -> impl Strategy<Value = Role> {
    let parts = (role_id(), any::<i64>(), permissions());
    parts.prop_map(|(id, generation, permissions)| Role { id, generation, permissions })
}

/// What a user's key is limited by.
pub fn membership() -> impl Strategy<Value = Membership> {
    let parts = (membership_id(), any::<i64>(), prop::bool::weighted(0.2), role());
    parts.prop_map(|(id, generation, inactive, role)| Membership { id, generation, inactive, role })
}

/// A record.
pub fn record() -> impl Strategy<Value = Record> {
    let revoked = option::weighted(0.2, (timestamp(), text()).prop_map(|(at, reason)| Revoked { at, reason }));
    let about = (environment_id(), text(), text(), timestamp(), timestamp());
    let limits = (option::of(timestamp()), option::of(timestamp()), prop::bool::weighted(0.2), revoked);
    let state = (any::<i64>(), timestamp(), generations());
    let grant = prop_oneof![3 => api_key_grant(), 1 => management_key_grant()];
    (about, limits, state, grant).prop_map(|(about, limits, state, grant)| {
        let (environment, name, obfuscated_value, created_at, updated_at) = about;
        let (expires_at, not_before, disabled, revoked) = limits;
        let (version, sealed_at, generations) = state;
        let version = Version(version);
        Record {
            environment,
            name,
            obfuscated_value,
            created_at,
            updated_at,
            expires_at,
            not_before,
            disabled,
            revoked,
            version,
            sealed_at,
            generations,
            grant,
        }
    })
}
