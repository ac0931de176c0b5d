//! What becomes of a user's key when something changes that it depends on, as an isolate sees it.

use std::collections::BTreeSet;

use super::{Outcome, ensure, equal};
use crate::{
    Timestamp,
    decide::{Request, decide},
    digest::Place,
    feed::{Effect, Epoch, Mark, Page, PageEntry, Scope},
    freshness::{Isolate, Limits, Rules, Step},
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    reason::Reason,
    record::{Grant, Membership, Owner, Record, Role, Version},
};

const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_001);

struct Ids {
    environment: EnvironmentId,
    organization: OrganizationId,
    user: UserId,
    membership: MembershipId,
    role: RoleId,
    other_role: RoleId,
}

fn id<T: TryFrom<String>>(prefix: &str, last: char) -> Result<T, String> {
    T::try_from(format!("{prefix}_01KF0JZ4G0000000000000000{last}")).map_err(|_| "a bad id".to_owned())
}

impl Ids {
    fn new() -> Result<Self, String> {
        Ok(Self {
            environment: id("environment", 'A')?,
            organization: id("org", 'A')?,
            user: id("user", 'A')?,
            membership: id("om", 'A')?,
            role: id("role", 'A')?,
            other_role: id("role", 'B')?,
        })
    }

    fn membership(&self) -> Scope<'_> {
        Scope::Membership(&self.membership)
    }

    /// A user's key, all whose generations are 10, and what it and its user's role allow.
    fn key(&self, own: &[&str], of_role: &[&str]) -> Record {
        let mut record = Record::example();
        record.generations.organization = 10;
        record.generations.environment = 10;
        if let Grant::ApiKey(key) = &mut record.grant {
            key.owner = Owner::User { id: self.user.clone(), organization_id: self.organization.clone() };
            key.permissions = texts(own);
            let role = Role { id: self.role.clone(), generation: 10, permissions: texts(of_role) };
            key.membership = Some(Membership { id: self.membership.clone(), generation: 10, inactive: false, role });
        }
        record
    }
}

fn texts(slugs: &[&str]) -> Vec<String> {
    slugs.iter().map(|slug| (*slug).to_owned()).collect()
}

fn only(slugs: &[&str]) -> Effect {
    Effect::AllowOnly(texts(slugs).into_iter().collect::<BTreeSet<_>>())
}

/// What the record is worth to an isolate that was told of these changes.
fn after(changes: &[(Scope<'_>, i64, Effect)], record: &Record) -> Result<Result<Vec<String>, Reason>, String> {
    let place = Place([1; 16]);
    let entries = changes.iter().zip(1..).map(|((scope, generation, effect), sequence)| PageEntry {
        sequence,
        place: scope.place(),
        version: Version(*generation),
        mark: Mark::Scope(effect.clone()),
    });
    let entries: Vec<PageEntry> = entries.collect();
    let up_to = entries.len() as u64;
    let page = Page { epoch: Epoch(1), after: 0, up_to, trimmed: 0, complete: true, age_millis: 0, entries };
    let mut isolate = Isolate::new(Limits::with_lease(2_000), Rules::ALL);
    let poll = isolate.begin_poll(NOW).ok_or("no poll began")?;
    isolate.finish_poll(&poll, &page, NOW);
    let mut look_up = isolate.look_up(place, place);
    equal("first", isolate.step(&mut look_up, NOW), Step::AskStore)?;
    isolate.store_answered(&mut look_up, Ok(Some(record.clone())));
    let Step::Decide(record) = isolate.step(&mut look_up, NOW) else { return Err("no decision".to_owned()) };
    equal("what is kept", isolate.step(&mut isolate.look_up(place, place), NOW), Step::Decide(record.clone()))?;
    let Grant::ApiKey(key) = &record.grant else { return Err("another kind of key".to_owned()) };
    let decision = decide(&record, &Request::of_environment(&record.environment), NOW);
    Ok(decision.map(|()| key.effective_permissions().into_owned()))
}

pub fn a_key_dies_with_what_it_belongs_to() -> Outcome {
    let ids = Ids::new()?;
    let record = ids.key(&["a"], &["a"]);
    for scope in [Scope::Organization(&ids.organization), Scope::User(&ids.user), ids.membership()] {
        let name = scope.name();
        equal(&name, after(&[(scope, 11, Effect::Revoke)], &record)?, Err(Reason::Revoked))?;
    }
    let (organization, user, membership) = (id("org", 'B')?, id("user", 'B')?, id("om", 'B')?);
    for scope in [Scope::Organization(&organization), Scope::User(&user), Scope::Membership(&membership)] {
        let name = scope.name();
        equal(&name, after(&[(scope, 11, Effect::Revoke)], &record)?, Ok(texts(&["a"])))?;
    }
    Ok(())
}

pub fn an_inactive_membership_disables_until_it_is_active() -> Outcome {
    let ids = Ids::new()?;
    let mut record = ids.key(&["a"], &["a"]);
    let inactive = after(&[(ids.membership(), 11, Effect::Disable)], &record)?;
    equal("inactive", inactive, Err(Reason::Disabled))?;
    equal("sealed since", after(&[(ids.membership(), 10, Effect::Disable)], &record)?, Ok(texts(&["a"])))?;
    let role = Role { id: ids.role.clone(), generation: 10, permissions: texts(&["a"]) };
    if let Grant::ApiKey(key) = &mut record.grant {
        key.change_membership(|membership| membership.inactive = true);
    }
    equal("sealed while it was inactive", after(&[], &record)?, Err(Reason::Disabled))?;
    equal("active again", after(&[(ids.membership(), 11, Effect::Role(role))], &record)?, Ok(texts(&["a"])))?;
    if let Grant::ApiKey(key) = &mut record.grant {
        key.membership = None;
    }
    equal("a user's key without any", after(&[], &record)?, Err(Reason::Disabled))
}

pub fn a_role_allows_what_it_allows_now() -> Outcome {
    let ids = Ids::new()?;
    let record = ids.key(&["posts:*", "b"], &["posts:read", "b", "c"]);
    equal("as sealed", after(&[], &record)?, Ok(texts(&["b", "posts:read"])))?;
    let role = || Scope::Role(&ids.role);
    equal("narrowed", after(&[(role(), 11, only(&["posts:read"]))], &record)?, Ok(texts(&["posts:read"])))?;
    equal("widened", after(&[(role(), 11, only(&["*"]))], &record)?, Ok(texts(&["posts:*", "b"])))?;
    equal("nothing", after(&[(role(), 11, only(&[]))], &record)?, Ok(vec![]))?;
    let another = after(&[(Scope::Role(&ids.other_role), 11, only(&[]))], &record)?;
    equal("another role", another, Ok(texts(&["b", "posts:read"])))
}

pub fn another_role_is_depended_on_from_then_on() -> Outcome {
    let ids = Ids::new()?;
    let record = ids.key(&["a", "b"], &["a"]);
    let role = || Role { id: ids.other_role.clone(), generation: 20, permissions: texts(&["a", "b"]) };
    let changed = || (ids.membership(), 21, Effect::Role(role()));
    let narrowed = |generation| (Scope::Role(&ids.other_role), generation, only(&["b"]));
    let old_one = || (Scope::Role(&ids.role), 30, only(&[]));
    equal("changed", after(&[changed()], &record)?, Ok(texts(&["a", "b"])))?;
    equal("and narrowed", after(&[changed(), narrowed(22)], &record)?, Ok(texts(&["b"])))?;
    equal("in whichever order", after(&[narrowed(22), changed()], &record)?, Ok(texts(&["b"])))?;
    equal("narrowed before", after(&[narrowed(20), changed()], &record)?, Ok(texts(&["a", "b"])))?;
    equal("the old one matters no more", after(&[old_one(), changed()], &record)?, Ok(texts(&["a", "b"])))
}

pub fn a_deleted_permission_leaves_key_and_role() -> Outcome {
    let ids = Ids::new()?;
    let record = ids.key(&["posts:*", "a"], &["posts:read", "posts:write", "a"]);
    let deleted = |slug| (Scope::Permission(&ids.environment, slug), 11, Effect::Revoke);
    equal("of the role", after(&[deleted("posts:read")], &record)?, Ok(texts(&["a", "posts:write"])))?;
    equal("of both", after(&[deleted("a")], &record)?, Ok(texts(&["posts:read", "posts:write"])))?;
    let role = Role { id: ids.other_role.clone(), generation: 10, permissions: texts(&["a", "posts:read"]) };
    let changed = (ids.membership(), 11, Effect::Role(role));
    equal("of another role", after(&[deleted("posts:read"), changed], &record)?, Ok(texts(&["a"])))?;
    ensure(
        "what was sealed since",
        after(&[(deleted("a").0, 10, Effect::Revoke)], &record)?.is_ok_and(|all| all.len() == 3),
    )
}
