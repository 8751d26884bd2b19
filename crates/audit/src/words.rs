//! An entry in one line of words, the same wherever it is shown: in an export, and on the page that checks one.

use sealpost_model::{Protocol, Time};

use crate::leaf::Numbers;
use crate::object;
use crate::verb::{Outcome, Verb};

/// `2026-11-21T22:40:22.123Z login refused imap stranger bad-password address:77`. What a later version wrote is shown by
/// its number.
pub(crate) fn line(numbers: &Numbers, reason: &str, objects: &[u8]) -> String {
    let [_, _, at, verb, outcome, protocol, kind, _, actor, owner, closes] = *numbers;
    let known = |word: Option<&'static str>, what: &str, number: i64| {
        word.map_or_else(|| format!("{what}-{number}"), str::to_owned)
    };
    let mut words = vec![
        time(at),
        known(Verb::from_number(verb).map(Verb::word), "verb", verb),
        known(Outcome::from_number(outcome).map(Outcome::word), "outcome", outcome),
        known(
            u8::try_from(protocol).ok().and_then(Protocol::from_number).map(Protocol::word),
            "protocol",
            protocol,
        ),
    ];
    let kind_word = usize::try_from(kind).ok().and_then(|k| ACTORS.get(k)).copied();
    words.push(match kind {
        0 | 3 => known(kind_word, "actor", kind),
        _ => format!("{}:{actor}", known(kind_word, "actor", kind)),
    });
    if owner != 0 {
        words.push(format!("account:{owner}"));
    }
    if closes != 0 {
        words.push(format!("closes:{closes}"));
    }
    if !reason.is_empty() {
        words.push(reason.to_owned());
    }
    match object::decode(objects) {
        Some(objects) => words.extend(objects.iter().map(|o| format!("{}:{}", o.kind.word(), o.id))),
        None => words.push("objects-unknown".into()),
    }
    words.join(" ")
}

/// Milliseconds as RFC 3339, as far as four digits of a year go.
pub(crate) fn time(at: i64) -> String {
    if (0..YEAR_10000).contains(&at) { Time::from_millis(at).rfc3339() } else { format!("at:{at}") }
}

/// Kinds of actors by their stored numbers.
pub(crate) const ACTORS: &[&str] =
    &["stranger", "person", "recipient", "system", "operator", "device", "connector"];
const YEAR_10000: i64 = 253_402_300_800_000;
