use clap::Subcommand;
use serde_json::Value;
use shared::{Timestamp, id::OrganizationId};

use crate::{
    cli::{
        follow::{FollowOptions, Follower},
        remote::Event,
        terminal::{Colour, LocalTime, Palette, print_message, printable, run_until_interrupted},
    },
    events::EventType,
};

const TAIL_EXAMPLES: &str = "\
Examples:
  export LATCHKEY_SERVER=https://keys.example.com LATCHKEY_MANAGEMENT_KEY=mk_…
  latchkey events tail
  latchkey events tail --since 2h --events api_key.created,api_key.revoked
  latchkey events tail --since 1d --json | jq -r .data.id";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the events of a server as they happen, one line each, until Ctrl-C.
    ///
    /// Each line has the local time, the type, the id and the name of what was changed, and who changed it. The command
    /// only calls the API of the server, so it works from any machine. It continues where it left off after the network
    /// or the server was unavailable: no event is missed, and none comes twice.
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(Tail),
}

/// The options of `events tail`.
#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    follow: FollowOptions,
    /// Only events about this organization.
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Print each event as JSON, exactly as the server returned it, one line each.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Tail(options) = command;
    run_until_interrupted(tail(options)).await
}

async fn tail(Tail { follow, organization, json }: Tail) -> anyhow::Result<()> {
    let about = organization.as_ref().map_or_else(String::new, |id| format!(" about {id}"));
    let mut follower = follow.start(organization).await?;
    print_message(&header(&follower, &about));
    let lines = Lines::new(follower.types());
    loop {
        for event in follower.next_page().await? {
            if json {
                print_line!("{}", event.json);
            } else {
                print_line!("{}", lines.render(&event));
            }
        }
    }
}

fn header(follower: &Follower, about: &str) -> String {
    format!("Following {}{about} of {}. Press Ctrl-C to stop.", follower.shown_types(), follower.server())
}

/// Wide enough for the ids of most resources.
const ID_WIDTH: usize = "api_key_01KF0JZ4G0000000000000000A".len();
/// Wide enough for most names. A longer one moves the rest of its line to the right.
const NAME_WIDTH: usize = 20;

/// Renders events as lines with columns.
struct Lines {
    palette: Palette,
    local_time: LocalTime,
    type_width: usize,
}

impl Lines {
    fn new(types: &[EventType]) -> Self {
        Self { palette: Palette::of_stdout(), local_time: LocalTime::of_system(), type_width: type_width(types) }
    }

    fn render(&self, event: &Event) -> String {
        let json: Value = serde_json::from_str(event.json.get()).unwrap_or_default();
        let at = first_text(&json, &["/created_at"]).as_deref().and_then(Timestamp::parse);
        let time = at.map_or_else(String::new, |at| self.local_time.date_and_time(at));
        let id = first_text(&json, &["/data/id", "/data/organization_id"]).unwrap_or_else(|| "-".to_owned());
        let name = first_text(&json, &NAMES).unwrap_or_else(|| "-".to_owned());
        let actor = first_text(&json, &["/context/actor/name", "/context/actor/id"]);
        let by = actor.map_or_else(String::new, |actor| format!("by {actor}"));
        let kind = paint_type(self.palette, &event.event, self.type_width);
        let line = format!("{}  {kind}  {id:<ID_WIDTH$}  {name:<NAME_WIDTH$}  {by}", self.palette.dim(&time));
        line.trim_end().to_owned()
    }
}

/// How many characters the longest of the types has.
pub(super) fn type_width(types: &[EventType]) -> usize {
    types.iter().map(|event| event.as_str().len()).max().unwrap_or_default()
}

/// The type in its column, coloured by what it means for the resource.
pub(super) fn paint_type(palette: Palette, event: &str, width: usize) -> String {
    let verb = event.rsplit('.').next().unwrap_or_default();
    let colour = match verb {
        "created" => Colour::Green,
        "deleted" | "revoked" | "expired" | "disabled" => Colour::Red,
        "expiring" => Colour::Yellow,
        _ => Colour::Cyan,
    };
    palette.paint(colour, &format!("{:<width$}", printable(event)))
}

/// Where the name of a resource is, by the kind of resource. Each has only one of them, except for users, whose name
/// can be null.
const NAMES: [&str; 4] = ["/data/name", "/data/email", "/data/endpoint_url", "/data/organization_name"];

/// The first of these values that is there.
fn first_text(json: &Value, pointers: &[&str]) -> Option<String> {
    pointers.iter().find_map(|pointer| json.pointer(pointer)?.as_str()).map(printable)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::cli::terminal::tests::{COLOURED, PLAIN, UTC};

    fn event(json: &Value) -> Event {
        let text = |field: &str| json[field].as_str().unwrap().to_owned();
        let id = text("id").parse().unwrap();
        Event { id, event: text("event"), json: to_raw_value(json).unwrap() }
    }

    fn render(palette: Palette, kind: &str, data: Value, actor: Value) -> String {
        let lines = Lines { palette, local_time: UTC, type_width: 17 };
        lines.render(&event(&json!({
            "object": "event",
            "id": "event_01KF0JZ4G0000000000000000A",
            "event": kind,
            "data": data,
            "created_at": "2026-01-15T12:00:00.000Z",
            "context": {"actor": actor},
        })))
    }

    fn back_end() -> Value {
        json!({"id": "management_key_01KF0JZ4G0000000000000000A", "source": "api", "name": "Back end"})
    }

    #[test]
    fn line_shows_time_type_id_name_and_actor_in_columns() {
        let data = json!({"id": "api_key_01KF0JZ4G0000000000000000A", "name": "Production"});
        assert_eq!(
            render(PLAIN, "api_key.created", data, back_end()),
            "01-15 12:00:00  api_key.created    api_key_01KF0JZ4G0000000000000000A  Production            by Back end"
        );
    }

    #[test]
    fn resource_without_id_or_name_is_shown_by_what_it_has() {
        for (data, id, name) in [
            (json!({"id": "user_1", "name": null, "email": "a@example.com"}), "user_1", "a@example.com"),
            (json!({"id": "we_1", "endpoint_url": "https://example.com"}), "we_1", "https://example.com"),
            (json!({"id": "om_1", "organization_id": "org_1", "organization_name": "Acme"}), "om_1", "Acme"),
            (json!({"organization_id": "org_1"}), "org_1", "-"),
            (json!({"organization": null}), "-", "-"),
        ] {
            let line = render(PLAIN, "x.updated", data, json!({"id": "server", "name": null}));
            let columns: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(columns[3..], [id, name, "by", "server"], "{line}");
        }
    }

    #[test]
    fn event_of_an_unexpected_shape_is_still_a_line() {
        let received = event(&json!({"id": "event_01KF0JZ4G0000000000000000A", "event": "new.kind"}));
        let lines = Lines { palette: PLAIN, local_time: UTC, type_width: 8 };
        assert!(lines.render(&received).contains("new.kind"));
    }

    #[test]
    fn control_characters_of_names_are_not_printed() {
        let line = render(PLAIN, "user.created", json!({"id": "user_1", "name": "a\u{1b}[2J\nb"}), back_end());
        assert!(!line.contains(char::is_control), "{line}");
    }

    #[test]
    fn colour_of_a_type_says_what_happened() {
        for (kind, start) in
            [("api_key.created", "\x1b[32m"), ("api_key.revoked", "\x1b[31m"), ("role.updated", "\x1b[36m")]
        {
            assert!(paint_type(COLOURED, kind, 0).starts_with(start), "{kind}");
            assert_eq!(paint_type(PLAIN, kind, 0), kind);
        }
    }
}
