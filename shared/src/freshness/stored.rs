//! What the rules of freshness ask of a record, and how [`Record`] answers.

use std::rc::Rc;

use crate::{
    Timestamp,
    digest::Place,
    feed::{Effect, Scope},
    id::EnvironmentId,
    record::{ApiKeyGrant, Grant, Membership, Owner, Record, Version},
};

/// A record, as far as its freshness goes.
pub trait Stored: Clone {
    /// Its version.
    fn version(&self) -> Version;
    /// When it was made from the database.
    fn sealed_at(&self) -> Timestamp;
    /// Whether it can never be accepted again, and so is as good as new however old it is.
    fn is_final(&self) -> bool;
    /// How many bytes it takes, roughly.
    fn weight(&self) -> usize;
    /// The scopes that it depends on, and the generation of each when it was made. Those that can make it depend on
    /// others come before those.
    fn scopes(&self) -> Vec<(Place, Version)>;
    /// Subjects it to what became of one of its scopes.
    fn subject_to(&mut self, scope: Place, effect: &Effect);
}

impl Stored for Record {
    fn version(&self) -> Version {
        self.version
    }

    fn sealed_at(&self) -> Timestamp {
        self.sealed_at
    }

    fn is_final(&self) -> bool {
        self.revoked.is_some()
    }

    fn weight(&self) -> usize {
        /// What a small piece of memory costs besides what is in it.
        const PIECE: usize = 48;
        let text = |text: &String| PIECE + text.len();
        let of_grant: usize = match &self.grant {
            Grant::ApiKey(key) => {
                let lists = key.permissions.iter().chain(&key.resources).map(text).sum::<usize>();
                let metadata = key.metadata.iter().map(|(name, value)| text(name) + text(value)).sum::<usize>();
                let of_role = |of: &Membership| 2 * PIECE + of.role.permissions.iter().map(text).sum::<usize>();
                let membership = key.membership.as_ref().map_or(0, of_role);
                lists + metadata + membership + key.ip_allow_list.len() * PIECE
            }
            Grant::ManagementKey(key) => key.scopes.iter().map(text).sum::<usize>() + key.prefixes.len() * 2 * PIECE,
        };
        size_of::<Self>() + 6 * PIECE + text(&self.name) + text(&self.obfuscated_value) + of_grant
    }

    fn scopes(&self) -> Vec<(Place, Version)> {
        let Grant::ApiKey(key) = &self.grant else { return vec![] };
        let organization = Scope::Organization(key.owner.organization());
        let mut scopes = vec![(organization.place(), Version(self.generations.organization))];
        let mut permissions: Vec<&String> = key.permissions.iter().collect();
        if let Owner::User { id, .. } = &key.owner {
            // Users are never narrowed but once, when they are deleted.
            scopes.push((Scope::User(id).place(), Version(0)));
            if let Some(Membership { id, generation, role, .. }) = &key.membership {
                scopes.push((Scope::Membership(id).place(), Version(*generation)));
                scopes.push((Scope::Role(&role.id).place(), Version(role.generation)));
                permissions.extend(role.permissions.iter().filter(|slug| !key.permissions.contains(slug)));
            }
        }
        let generation = Version(self.generations.environment);
        let permission = |slug: &String| (Scope::Permission(&self.environment, slug).place(), generation);
        scopes.extend(permissions.into_iter().map(permission));
        scopes
    }

    fn subject_to(&mut self, scope: Place, effect: &Effect) {
        let Grant::ApiKey(key) = &mut self.grant else { return };
        let is_of_organization = scope == Scope::Organization(key.owner.organization()).place();
        match effect {
            Effect::Revoke if is_of_organization => self.revoke("organization_deleted"),
            Effect::Revoke if key.is_of_user(scope) => self.revoke("user_deleted"),
            Effect::Revoke if key.is_of_membership(scope) => self.revoke("membership_deleted"),
            Effect::Revoke => key.lose(&self.environment, scope),
            Effect::Disable if is_of_organization => self.disabled = true,
            Effect::Disable => key.change_membership(|membership| membership.inactive = true),
            Effect::AllowOnly(allowed) => {
                key.change_membership(|membership| membership.role.permissions = allowed.iter().cloned().collect());
            }
            Effect::Role(role) => key.change_membership(|membership| {
                membership.inactive = false;
                membership.role = role.clone();
            }),
        }
    }
}

impl ApiKeyGrant {
    fn is_of_user(&self, scope: Place) -> bool {
        matches!(&self.owner, Owner::User { id, .. } if scope == Scope::User(id).place())
    }

    fn is_of_membership(&self, scope: Place) -> bool {
        self.membership.as_ref().is_some_and(|membership| scope == Scope::Membership(&membership.id).place())
    }

    /// A permission is taken from the key, and from its user's role.
    fn lose(&mut self, environment: &EnvironmentId, permission: Place) {
        let stays = |slug: &String| permission != Scope::Permission(environment, slug).place();
        self.permissions.retain(stays);
        self.change_membership(|membership| membership.role.permissions.retain(stays));
    }
}

impl<R: Stored> Stored for Rc<R> {
    fn version(&self) -> Version {
        (**self).version()
    }

    fn sealed_at(&self) -> Timestamp {
        (**self).sealed_at()
    }

    fn is_final(&self) -> bool {
        (**self).is_final()
    }

    fn weight(&self) -> usize {
        (**self).weight()
    }

    fn scopes(&self) -> Vec<(Place, Version)> {
        (**self).scopes()
    }

    fn subject_to(&mut self, scope: Place, effect: &Effect) {
        Self::make_mut(self).subject_to(scope, effect);
    }
}
