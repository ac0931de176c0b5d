use shared::id::{EventId, WebhookEndpointId, WebhookReplayId};

use super::*;
use crate::{
    entropy::OsEntropy,
    storage::{
        Db,
        testing::conformance,
        webhook_replays::{self, Replay},
    },
};

conformance! {
    async fn a_replay_advances_until_it_is_removed(db: Db) {
        let endpoint = WebhookEndpointId::generate(START, &mut OsEntropy);
        let replay = Replay {
            id: WebhookReplayId::generate(START, &mut OsEntropy),
            endpoint_id: endpoint,
            after_event: EventId::first_at(START),
            until_event: EventId::first_at(START.plus_millis(10)),
        };
        assert!(!ask!(db, webhook_replays::any));
        assert!(change!(db, webhook_replays::add, &replay));
        let second = Replay { id: WebhookReplayId::generate(START, &mut OsEntropy), ..replay.clone() };
        assert!(!change!(db, webhook_replays::add, &second), "an endpoint has one at a time");
        let event = EventId::following(None, START, &mut OsEntropy);
        change!(db, webhook_replays::advance, &replay.id, &event);
        let after_event = event.to_string();
        assert_eq!(change!(db, webhook_replays::lock, 10), [Replay { after_event, ..replay.clone() }]);
        change!(db, webhook_replays::remove, &replay.id);
        assert!(!ask!(db, webhook_replays::any));
    }
}
