use serde_json::{Value, json};

use crate::{
    config::Config,
    encryption::EncryptionKey,
    storage::{Db, testing::conformance},
    testing::{receiver::Receiver, server::*},
};

/// A server, a receiver, and an endpoint of it.
async fn endpoint(db: Db, events: Value) -> (Server, Receiver, Value) {
    let server = Server::new(db).await;
    let receiver = Receiver::start().await;
    let body = json!({"endpoint_url": receiver.url(), "events": events});
    let endpoint = server.post("/webhook_endpoints", body).await.expect(201);
    (server, receiver, endpoint)
}

async fn deliveries(server: &Server, endpoint: &Value) -> Vec<Value> {
    let list = server.get(&format!("/webhook_endpoints/{}/deliveries?order=asc", id_of(endpoint))).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

async fn delivery(server: &Server, id: &str) -> Value {
    server.get(&format!("/webhook_deliveries/{id}")).await.expect(200)
}

fn another_key() -> Config {
    Config { encryption_key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into(), ..Config::defaults() }
}

/// Adds events to the log, and sends what is due.
async fn send(server: &Server) {
    while server.append_events().await {}
    server.send_webhooks().await;
}

const SECOND: i64 = 1000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

conformance! {
    async fn an_endpoint_receives_the_events_that_it_is_subscribed_to(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        server.permissions(&["a"]).await;
        let organization = server.organization().await;
        send(&server).await;
        let [request] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
        let list = server.get("/events?events=organization.created").await.expect(200);
        assert_eq!(request.json(), list["data"][0]);
        assert_eq!(request.json()["data"]["id"], json!(organization));
        assert_eq!(request.header("webhook-id"), list["data"][0]["id"]);
        assert_eq!(request.header("content-type"), "application/json");
        for header in ["webhook-timestamp", "webhook-signature", "workos-signature"] {
            assert!(!request.header(header).is_empty(), "{header}");
        }
        let [delivered] = &deliveries(&server, &endpoint).await[..] else { panic!() };
        assert_eq!((&delivered["status"], &delivered["attempts"]), (&json!("succeeded"), &json!(1)));
        let details = delivery(&server, &id_of(delivered)).await;
        let attempt = &details["attempt_log"][0];
        assert_eq!((&attempt["response"]["status"], &attempt["response"]["body"]), (&json!(200), &json!("thanks")));
        assert_eq!(attempt["request"]["url"], json!(receiver.url()));
        send(&server).await;
        assert_eq!(receiver.received().len(), 1, "it was sent once");
    }

    async fn a_failed_delivery_is_tried_again_with_the_same_id_and_a_new_time(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        receiver.respond(&[500]);
        server.organization().await;
        send(&server).await;
        send(&server).await;
        assert_eq!(receiver.received().len(), 1, "the second attempt is not due yet");
        let pending = &deliveries(&server, &endpoint).await[0];
        assert_eq!(pending["status"], "pending");
        assert!(pending["next_attempt_at"].is_string());
        server.advance(7 * SECOND);
        send(&server).await;
        let [first, second] = &receiver.received()[..] else { panic!() };
        assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
        assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"));
        assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
        assert_eq!(deliveries(&server, &endpoint).await[0]["status"], "succeeded");
    }

    async fn a_receiver_can_ask_for_a_longer_wait(db: Db) {
        let (server, receiver, _) = endpoint(db, json!(["organization.created"])).await;
        receiver.respond_with_retry_after(503, "3600");
        server.organization().await;
        send(&server).await;
        server.advance(3599 * SECOND);
        send(&server).await;
        assert_eq!(receiver.received().len(), 1);
        server.advance(800 * SECOND);
        send(&server).await;
        assert_eq!(receiver.received().len(), 2);
    }

    async fn a_delivery_fails_after_ten_attempts_within_about_three_days(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        receiver.respond(&[500; 20]);
        server.organization().await;
        let mut days = 0;
        while deliveries(&server, &endpoint).await.first().is_none_or(|delivery| delivery["status"] == "pending") {
            send(&server).await;
            server.advance(DAY / 24);
            days += 1;
            assert!(days < 24 * 6, "it never ends");
        }
        assert_eq!(deliveries(&server, &endpoint).await[0]["status"], "failed");
        assert_eq!(receiver.received().len(), 10);
        assert!((24 * 2..24 * 5).contains(&days), "{days} hours");
    }

    async fn an_endpoint_that_is_gone_is_disabled_with_an_event(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        receiver.respond(&[410]);
        server.organization().await;
        send(&server).await;
        let path = format!("/webhook_endpoints/{}", id_of(&endpoint));
        let shown = server.get(&path).await.expect(200);
        assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("gone")));
        send(&server).await;
        assert_eq!(deliveries(&server, &endpoint).await[0]["status"], "canceled");
        let events = server.get("/events?events=webhook_endpoint.disabled").await.expect(200);
        assert_eq!(events["data"][0]["data"]["id"], endpoint["id"]);
        assert_eq!(events["data"][0]["context"]["actor"]["id"], "server");
        assert!(!events.to_string().contains(endpoint["secret"].as_str().unwrap()));
        // What happens meanwhile is not sent, until it is asked for.
        server.advance(1);
        server.organization().await;
        send(&server).await;
        assert_eq!(receiver.received().len(), 1);
        server.patch(&path, json!({"status": "enabled"})).await.expect(200);
        let future = server.post(&format!("{path}/replay"), json!({"since": "2999-01-01T00:00:00Z"})).await;
        assert_eq!(future.fields(), ["since"]);
        server.post(&format!("{path}/replay"), json!({"since": "2000-01-01T00:00:00Z"})).await.expect(201);
        send(&server).await;
        send(&server).await;
        server.advance(SECOND);
        send(&server).await;
        assert_eq!(receiver.types(), vec!["organization.created"; 3]);
    }

    async fn an_endpoint_without_success_for_five_days_is_disabled(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        receiver.respond(&[500; 100]);
        let path = format!("/webhook_endpoints/{}", id_of(&endpoint));
        for day in 0..6 {
            assert_eq!(server.get(&path).await.expect(200)["status"], "enabled", "day {day}");
            server.organization().await;
            send(&server).await;
            server.advance(DAY + 1);
        }
        send(&server).await;
        let shown = server.get(&path).await.expect(200);
        assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("failing")));
    }

    async fn a_replay_sends_an_event_again_and_says_nothing_about_the_endpoint(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        server.organization().await;
        send(&server).await;
        let first = id_of(&deliveries(&server, &endpoint).await[0]);
        receiver.respond(&[410]);
        let again = server.post(&format!("/webhook_deliveries/{first}/replay"), json!({})).await.expect(201);
        assert_eq!((&again["status"], &again["is_replay"]), (&json!("pending"), &json!(true)));
        send(&server).await;
        let received = receiver.received();
        assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
        let shown = server.get(&format!("/webhook_endpoints/{}", id_of(&endpoint))).await.expect(200);
        assert_eq!(shown["status"], "enabled");
    }

    async fn a_deleted_endpoint_receives_nothing_more(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        server.organization().await;
        while server.append_events().await {}
        server.delete(&format!("/webhook_endpoints/{}", id_of(&endpoint))).await.expect(204);
        send(&server).await;
        server.organization().await;
        send(&server).await;
        assert!(receiver.received().is_empty());
        server.sweep().await;
    }

    async fn both_secrets_sign_until_the_overlap_of_a_rotation_ends(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        let path = format!("/webhook_endpoints/{}/rotate_secret", id_of(&endpoint));
        let rotated = server.post(&path, json!({"overlap_seconds": 60})).await.expect(201);
        assert_ne!(rotated["secret"], endpoint["secret"]);
        assert!(rotated["previous_secret_expires_at"].is_string());
        server.organization().await;
        send(&server).await;
        server.advance(61 * SECOND);
        server.organization().await;
        send(&server).await;
        let count = |at: usize| receiver.received()[at].header("webhook-signature").split(' ').count();
        assert_eq!((count(0), count(1)), (2, 1));
    }

    async fn rotation_without_the_old_encryption_key_has_no_overlap(db: Db) {
        let (mut server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        server.set_encryption(EncryptionKey::from_config(&another_key()).unwrap());
        let path = format!("/webhook_endpoints/{}/rotate_secret", id_of(&endpoint));
        let rotated = server.post(&path, json!({"overlap_seconds": 60})).await.expect(201);
        assert!(rotated["previous_secret_expires_at"].is_null(), "nobody can read the previous one");
        server.organization().await;
        send(&server).await;
        assert_eq!(receiver.received()[0].header("webhook-signature").split(' ').count(), 1);
    }

    async fn attempts_that_have_ended_make_room_for_others_in_the_same_turn(db: Db) {
        let (server, receiver, _) = endpoint(db, json!(["organization.created"])).await;
        for _ in 0..5 {
            server.organization().await;
        }
        while server.append_events().await {}
        server.send_webhooks().await;
        assert_eq!(receiver.received().len(), 5, "otherwise they wait a second each time");
    }

    async fn an_overlap_can_be_ended_early(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        let path = format!("/webhook_endpoints/{}", id_of(&endpoint));
        server.post(&format!("{path}/rotate_secret"), json!({})).await.expect(201);
        server.delete(&format!("{path}/previous_secret")).await.expect(204);
        server.delete(&format!("{path}/previous_secret")).await.expect(204);
        server.organization().await;
        send(&server).await;
        assert_eq!(receiver.received()[0].header("webhook-signature").split(' ').count(), 1);
    }

    async fn deliveries_are_queued_in_the_order_of_the_log(db: Db) {
        let events = json!(["api_key.created", "api_key.updated", "api_key.rotated", "api_key.revoked"]);
        let (server, _, endpoint) = endpoint(db, events).await;
        let organization = server.organization().await;
        for _ in 0..5 {
            let key = server.api_key(&organization, json!({"name": "k"})).await;
            server.post(&format!("/api_keys/{}/rotate", id_of(&key)), json!({})).await.expect(201);
            server.delete(&format!("/api_keys/{}", id_of(&key))).await.expect(204);
        }
        while server.append_events().await {}
        let path = format!("/webhook_endpoints/{}/deliveries?order=asc&limit=100", id_of(&endpoint));
        let deliveries = server.get(&path).await.expect(200);
        let deliveries = deliveries["data"].as_array().unwrap();
        let events: Vec<&str> = deliveries.iter().map(|delivery| delivery["event_id"].as_str().unwrap()).collect();
        assert_eq!(events.len(), 25);
        assert!(events.is_sorted(), "{events:?}");
    }

    async fn an_endpoint_that_was_changed_meanwhile_is_not_disabled_for_what_it_was(db: Db) {
        let (server, receiver, endpoint) = endpoint(db, json!(["organization.created"])).await;
        let path = format!("/webhook_endpoints/{}", id_of(&endpoint));
        let other = Receiver::start().await;
        receiver.respond(&[410]);
        server.organization().await;
        while server.append_events().await {}
        let change = async || drop(server.patch(&path, json!({"endpoint_url": other.url()})).await.expect(200));
        server.send_webhooks_while(change).await;
        assert_eq!(receiver.received().len(), 1);
        assert_eq!(server.get(&path).await.expect(200)["status"], "enabled");
    }

    async fn old_deliveries_are_deleted_with_their_attempts(db: Db) {
        let (server, _, endpoint) = endpoint(db, json!(["organization.created"])).await;
        server.organization().await;
        send(&server).await;
        server.advance(31 * DAY);
        server.sweep().await;
        assert!(deliveries(&server, &endpoint).await.is_empty());
    }
}
