//! What an endpoint responds decides what is sent next.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{
    database::Database,
    receiver::{Receiver, Reply},
    wait::eventually,
};

use super::{Endpoint, System, TIMEOUT};

/// Waits until the only delivery of an endpoint has so many attempts in its log, and returns it with them.
#[track_caller]
fn until_attempted(system: &System, endpoint: &Endpoint, attempts: usize) -> Value {
    eventually(TIMEOUT, "the attempts are in the log", || {
        let deliveries = system.deliveries(endpoint);
        let [delivery] = deliveries.as_slice() else { return Err(json!(deliveries)) };
        let delivery = system.delivery(&delivery["id"]);
        if delivery["attempt_log"].as_array().map(Vec::len) == Some(attempts) { Ok(delivery) } else { Err(delivery) }
    })
}

#[test]
fn failed_delivery_is_sent_again_with_the_same_id_and_a_fresh_signature() {
    let system = System::start(Database::sqlite());
    let requests = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let endpoint = system.subscribe(&receiver.url, &["permission.created"]);
    system.client().create_permission("posts:read");
    let delivery = until_attempted(&system, &endpoint, 2);

    let received = receiver.received();
    let [first, second] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    for header in ["webhook-timestamp", "webhook-signature", "workos-signature"] {
        assert_ne!(first.header(header), second.header(header), "{header}");
    }

    assert_eq!(delivery["event_id"], first.header("webhook-id"));
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("succeeded"), &json!(2)));
    assert_eq!(delivery["next_attempt_at"], Value::Null);
    for (number, (status, request)) in [(500, first), (200, second)].into_iter().enumerate() {
        let attempt = &delivery["attempt_log"][number];
        assert_eq!(attempt["number"], number + 1);
        assert_eq!(attempt["response"]["status"], status, "{attempt}");
        assert_eq!(attempt["request"]["headers"]["webhook-timestamp"], request.header("webhook-timestamp"));
    }
}

#[test]
fn endpoint_that_responds_410_is_disabled_and_gets_nothing_more() {
    let system = System::start(Database::sqlite());
    let (gone, healthy) = (Receiver::with_status(410), Receiver::with_status(200));
    let endpoint = system.subscribe(&gone.url, &["permission.created"]);
    let _ = system.subscribe(&healthy.url, &["permission.created", "webhook_endpoint.disabled"]);
    system.client().create_permission("posts:read");
    let event = eventually(TIMEOUT, "the event is written", || {
        system.client().events(&["webhook_endpoint.disabled"]).pop().ok_or("it is not")
    });
    assert_eq!((&event["data"]["id"], &event["data"]["disabled_reason"]), (&json!(endpoint.id), &json!("gone")));
    let shown = system.client().get(&format!("/webhook_endpoints/{}", endpoint.id)).expect(200);
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("gone")));

    system.client().create_permission("posts:write");
    eventually(TIMEOUT, "the other endpoint has all three events", || match healthy.count() {
        3 => Ok(()),
        count => Err(count),
    });
    assert_eq!(gone.count(), 1);
    let deliveries = eventually(TIMEOUT, "no delivery is pending", || {
        let deliveries = system.deliveries(&endpoint);
        if deliveries.iter().all(|delivery| delivery["status"] != "pending") { Ok(deliveries) } else { Err("some are") }
    });
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    assert_eq!(deliveries[0]["status"], "canceled");
}

#[test]
fn redirect_is_not_followed() {
    let system = System::start(Database::sqlite());
    let elsewhere = Receiver::with_status(200);
    let location = format!("{}/elsewhere", elsewhere.url);
    let reply = Reply::Redirect(location.clone());
    let receiver = Receiver::start(move |_| reply.clone());
    let endpoint = system.subscribe(&receiver.url, &["permission.created"]);
    system.client().create_permission("posts:read");
    let delivery = until_attempted(&system, &endpoint, 1);
    assert_eq!(delivery["status"], "pending", "it is tried again: {delivery}");
    let response = &delivery["attempt_log"][0]["response"];
    assert_eq!((&response["status"], &response["headers"]["location"]), (&json!(302), &json!(location)));
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
}
