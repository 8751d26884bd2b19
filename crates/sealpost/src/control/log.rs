//! `sealpost log`: what happened, by time, act, actor or thing, as text, JSON or CSV (S52, S55).

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use sealpost_audit::{Class, Filter, Object, ObjectKind, Outcome, Record, Verb};
use sealpost_model::{Actor, Protocol, Time};
use sealpost_policy::Command;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Peer, Reply};
use crate::instance::Instance;

/// What is asked.
#[derive(clap::Args, Serialize, Deserialize)]
pub struct Ask {
    /// How many entries, at most 10,000; a whole log is `sealpost audit export`.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Only these acts: login, accept, pickup-open ...
    #[arg(long, value_name = "ACT", value_parser = verb)]
    verb: Option<String>,
    /// Only those that ended so: done, refused, failed, open, unknown.
    #[arg(long, value_name = "END", value_parser = outcome)]
    outcome: Option<String>,
    /// Only acts of users, administrators, operators, or others (the server, recipients, strangers).
    #[arg(long, value_name = "CLASS", value_parser = class)]
    who: Option<String>,
    /// Only about this thing: KIND:ID as the log shows it, as in person:77.
    #[arg(long, value_name = "KIND:ID", value_parser = object)]
    object: Option<String>,
    /// Not before this day or time (2026-01-31, 2026-01-31T08:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<i64>,
    /// Before this day or time.
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<i64>,
    /// Only entries before this position: for the page before.
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
    /// With what is sealed (addresses, remarks).
    #[arg(long)]
    detail: bool,
    /// The server's own log instead: the host's commands, logins under names that nobody has.
    #[arg(long)]
    server: bool,
}

impl Ask {
    pub(super) const fn command(&self) -> Command {
        if self.detail { Command::LogDetail } else { Command::LogList }
    }
}

/// The most entries of an answer.
const MOST: usize = 10_000;

pub(super) async fn answer(instance: &Instance, peer: &Peer, ask: Ask) -> Result<Reply> {
    let log = super::audit::log(instance, peer, ask.server).await?;
    if ask.limit == 0 || ask.limit > MOST {
        bail!("--limit must be between 1 and {MOST}; `sealpost audit export` takes a whole log");
    }
    let mut filter = Filter {
        since: ask.since.map(Time::from_millis),
        until: ask.until.map(Time::from_millis),
        verb: ask.verb.as_deref().and_then(Verb::parse),
        outcome: ask.outcome.as_deref().and_then(parse_outcome),
        class: ask.who.as_deref().and_then(Class::parse),
        object: ask.object.as_deref().and_then(parse_object),
        before: ask.before,
        ..Filter::default()
    };
    let mut found = Vec::new();
    let next = loop {
        filter.limit = (ask.limit - found.len()).min(1000);
        let page = instance.audit.list(&peer.caller, peer.roles, log, &filter).await?;
        found.extend(page.records);
        match page.next {
            Some(next) if found.len() < ask.limit => filter.before = Some(next),
            next => break next,
        }
    };
    let (mut rows, mut text) = (Vec::new(), String::new());
    for mut r in found.into_iter().rev() {
        if !ask.detail {
            (r.client, r.notes) = (None, Vec::new());
        }
        writeln!(text, "{}", line(&r))?;
        rows.push(row(&r));
    }
    if rows.is_empty() {
        text.push_str("Nothing of that kind is in the log.\n");
    } else if let Some(next) = next {
        writeln!(text, "There is more: --before {next}")?;
    }
    Ok(Reply::Done { rows, text })
}

/// An entry as a line. What is sealed is there only if the reader may see it.
fn line(r: &Record) -> String {
    let objects: Vec<String> = r.objects.iter().map(|o| format!("{}:{}", o.kind.word(), o.id)).collect();
    let notes: Vec<String> = r
        .notes
        .iter()
        .map(|(name, text)| if name.is_empty() { text.clone() } else { format!("{name}={text}") })
        .collect();
    let client = r.client.as_ref().map_or(String::new(), |c| format!(" from {}", c.ip));
    format!(
        "{} {:>6} {:16} {:8} {:10} {}{client} {} {}",
        r.at.rfc3339(),
        r.position.map_or("-".into(), |p| p.to_string()),
        r.verb.map_or("?", Verb::word),
        r.outcome.map_or("?", Outcome::word),
        r.protocol.map_or("?", Protocol::word),
        r.actor.map_or("?".into(), actor_word),
        r.reason,
        objects.into_iter().chain(notes).collect::<Vec<_>>().join(" "),
    )
    .trim_end()
    .to_owned()
}

fn row(r: &Record) -> Value {
    let client = r.client.as_ref();
    json!({
        "id": r.id,
        "position": r.position,
        "at": r.at.rfc3339(),
        "actor": r.actor.map(actor_word),
        "owner": r.owner,
        "protocol": r.protocol.map(Protocol::word),
        "verb": r.verb.map(Verb::word),
        "outcome": r.outcome.map(Outcome::word),
        "reason": r.reason,
        "objects": r.objects.iter().map(|o| format!("{}:{}", o.kind.word(), o.id)).collect::<Vec<_>>(),
        "client": client.map(|c| c.ip.to_string()),
        "port": client.map(|c| c.port),
        "tls": client.map(|c| c.tls.clone()),
        "cipher": client.map(|c| c.cipher.clone()),
        "notes": r.notes,
    })
}

/// The rows as CSV (RFC 4180): what spreadsheets read, and no cell that one of them would run.
pub(super) fn csv(rows: &[Value]) -> String {
    const COLUMNS: [&str; 14] = [
        "at", "position", "id", "verb", "outcome", "protocol", "actor", "owner", "client", "port", "tls",
        "reason", "objects", "notes",
    ];
    let mut out = COLUMNS.join(",") + "\r\n";
    for row in rows {
        let cells: Vec<String> = COLUMNS.iter().map(|c| cell(&row[c])).collect();
        out += &(cells.join(",") + "\r\n");
    }
    out
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let words = items.iter().map(|item| match item {
                Value::Array(pair) => pair
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|t| !t.is_empty())
                    .collect::<Vec<_>>()
                    .join("="),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            words.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn actor_word(actor: Actor) -> String {
    match actor {
        Actor::Person { person, .. } => format!("person:{person}"),
        Actor::Recipient { recipient, .. } => format!("recipient:{recipient}"),
        Actor::Operator { uid } => format!("operator:{uid}"),
        Actor::Device { device, .. } => format!("device:{device}"),
        Actor::Connector { connector, .. } => format!("connector:{connector}"),
        Actor::System => "system".into(),
        Actor::Stranger => "stranger".into(),
    }
}

fn verb(word: &str) -> Result<String, String> {
    let all = || Verb::ALL.iter().map(|v| v.word()).collect::<Vec<_>>().join(", ");
    Verb::parse(word)
        .map(|_| word.to_owned())
        .ok_or_else(|| format!("the log knows no such act; it knows {}", all()))
}

fn parse_outcome(word: &str) -> Option<Outcome> {
    (0..=4).filter_map(Outcome::from_number).find(|o| o.word() == word)
}

fn outcome(word: &str) -> Result<String, String> {
    parse_outcome(word)
        .map(|_| word.to_owned())
        .ok_or("acts end done, refused, failed, open or unknown".into())
}

fn class(word: &str) -> Result<String, String> {
    Class::parse(word)
        .map(|_| word.to_owned())
        .ok_or("write users, administrators, operators or others".into())
}

fn parse_object(text: &str) -> Option<Object> {
    let (kind, id) = text.split_once(':')?;
    Some(Object { kind: ObjectKind::parse(kind)?, id: id.parse().ok()? })
}

fn object(text: &str) -> Result<String, String> {
    parse_object(text)
        .map(|_| text.to_owned())
        .ok_or("write KIND:ID as the log shows it, as in person:77".into())
}

/// A day or a time, in milliseconds since 1970.
pub(super) fn when(text: &str) -> Result<i64, String> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    let day = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|z| z.timestamp());
    let time = day.or_else(|| text.parse::<jiff::Timestamp>().ok());
    let time = time.context("no time").map_err(|_| {
        format!("`{text}` is neither a day (2026-01-31) nor a time (2026-01-31T08:00:00Z), in UTC")
    })?;
    Ok(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read_and_nothing_else() {
        assert_eq!(when("1970-01-02"), Ok(86_400_000));
        assert_eq!(when("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(when("1970-01-01T00:00:01.5Z"), Ok(1500));
        for bad in ["", "yesterday", "1970-13-01", "1970-01-01T00:00:00", "5", "1970-1-1"] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_spreadsheet_gets_cells_and_no_formulas() {
        let row = json!({
            "at": "2026-01-31T08:00:00.000Z", "position": 7, "id": 9, "verb": "login", "outcome": "refused",
            "client": "2001:db8::1", "objects": ["person:5", "address:6"], "notes": [["login", "=1+1, \"x\""]],
        });
        let text = csv(&[row, json!({"reason": "=cmd()"})]);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines[1],
            "2026-01-31T08:00:00.000Z,7,9,login,refused,,,,2001:db8::1,,,,person:5; address:6,\"login==1+1, \"\"x\"\"\""
        );
        assert_eq!(lines[2], ",,,,,,,,,,,'=cmd(),,");
    }
}
