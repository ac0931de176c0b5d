//! An event of a change, and who made the change.

use serde::Serialize;
use shared::id::{EnvironmentId, ManagementKeyId, OrganizationId};

use super::{EventType, json};
use crate::storage::Result;

/// An event that is not in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its type.
    pub event: EventType,
    /// The environment in which it happened.
    pub environment: EnvironmentId,
    /// The organization that it is about, if it is about one.
    pub organization: Option<OrganizationId>,
    /// What happened, as JSON.
    pub data: String,
    /// What else the change concerned: the name of its rows among the targets.
    pub batch: Option<String>,
}

impl NewEvent {
    /// An event about nothing but the environment.
    ///
    /// # Errors
    /// If the data cannot be JSON, which is a defect.
    pub fn new(event: EventType, environment: &EnvironmentId, data: &impl Serialize) -> Result<Self> {
        let environment = environment.clone();
        Ok(Self { event, environment, organization: None, data: encode(data)?, batch: None })
    }

    /// The same about an organization.
    #[must_use]
    pub fn of_organization(self, organization: &OrganizationId) -> Self {
        Self { organization: Some(organization.clone()), ..self }
    }

    /// The same with targets.
    #[must_use]
    pub fn with_targets(self, batch: String) -> Self {
        Self { batch: Some(batch), ..self }
    }
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The product's back end, by its management key.
    ManagementKey {
        /// The id of the key.
        id: ManagementKeyId,
        /// The display name of the key.
        name: String,
    },
    /// Somebody who runs commands on the machine of the server.
    Operator,
    /// The server itself: what it does at a time that was set before, or to recover.
    Server,
}

/// As the clients of WorkOS decode it.
#[derive(Debug, Serialize)]
struct Context<'a> {
    actor: ContextActor<'a>,
}

#[derive(Debug, Serialize)]
struct ContextActor<'a> {
    id: &'a str,
    source: &'static str,
    name: Option<&'a str>,
}

impl Actor {
    /// The `context` of an event, as JSON.
    ///
    /// # Errors
    /// If it cannot be JSON, which is a defect.
    pub fn context(&self) -> Result<String> {
        let actor = match self {
            Self::ManagementKey { id, name } => ContextActor { id: id.as_str(), source: "api", name: Some(name) },
            Self::Operator => ContextActor { id: "operator", source: "system", name: Some("Command line") },
            Self::Server => ContextActor { id: "server", source: "system", name: Some("Latchkey") },
        };
        encode(&Context { actor })
    }
}

/// A value that the database cannot be given.
fn encode(value: &impl Serialize) -> Result<String> {
    json::to_text(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
