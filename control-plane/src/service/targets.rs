//! Changes of many things, which write a single event. The events of the things follow from the *targets* that the change notes.

use shared::{Timestamp, feed::Scope};

use super::Transaction;
use crate::{
    events::EventType,
    storage::{
        self,
        events::{self, NewTarget},
        roles::Role,
    },
};

/// The name of the targets of a change of a scope, which no other change has.
pub(super) fn batch(scope: &Scope<'_>, now: Timestamp) -> String {
    format!("{}:{}", scope.name(), now.as_millis())
}

/// Notes roles as targets, as they are now.
pub(super) async fn target_roles(
    transaction: &mut Transaction,
    batch: &str,
    event: EventType,
    roles: Vec<Role>,
) -> storage::Result<()> {
    let target = |role: Role| {
        let details = serde_json::to_string(&role).map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok(NewTarget { id: role.id.into(), details })
    };
    let targets = roles.into_iter().map(target).collect::<storage::Result<Vec<NewTarget>>>()?;
    events::add_targets(transaction.conn(), batch, event.as_str(), &targets).await
}
