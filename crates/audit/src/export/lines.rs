//! The lines of an export, as they are written and read.

use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Whose log.
    pub tenant: Int,
    /// When the export was made, RFC 3339.
    pub made: String,
    /// The first position.
    pub from: u64,
    /// The position behind the last.
    pub to: u64,
    /// Whether details are opened.
    pub opened: bool,
    /// The key that verifies, as signed-note writes it.
    pub key: String,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Hashes of the perfect subtrees before the part, largest first.
    pub left: Vec<String>,
    /// Hashes of the perfect subtrees behind it.
    pub right: Vec<String>,
    /// What anchors know of this log.
    pub anchored: Vec<AnchoredLine>,
}

/// A checkpoint that an anchor knows.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnchoredLine {
    /// Which anchor.
    pub anchor: String,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Whether a `restored` entry says that it was lost; then there is no path.
    pub lost: bool,
    /// The consistency path from it to the header's (RFC 6962 section 2.1.2).
    pub path: Vec<String>,
}

/// A line in the middle.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryLine {
    /// Its place in the log.
    pub position: u64,
    /// The entry in words.
    pub says: String,
    pub id: Int,
    pub tenant: Int,
    /// Milliseconds since 1970.
    pub at: Int,
    pub verb: Int,
    pub outcome: Int,
    pub protocol: Int,
    pub actor_kind: Int,
    pub actor_tenant: Int,
    pub actor: Int,
    pub owner: Int,
    pub closes: Int,
    pub reason: String,
    /// Base64, as the rest.
    pub objects: String,
    pub detail: String,
    pub commitment: String,
    pub leaf: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
}

/// An opened detail.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opened {
    /// Salt and detail, as the commitment has them.
    pub plain: String,
    /// From where, in words.
    pub client: String,
    /// Remarks: name and text.
    pub notes: Vec<(String, String)>,
}

/// The last line.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trailer {
    /// What it ends.
    pub end: End,
    /// The signed note over that.
    pub signed: String,
}

/// What the last line ends.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// Entries.
    pub entries: u64,
    /// SHA-256 of all bytes before the last line, base64.
    pub sha256: String,
}

/// A 64-bit number, written as a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Int(pub i64);

impl Serialize for Int {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number: i64 = text.parse().map_err(serde::de::Error::custom)?;
        if number.to_string() == text {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom("not canonical"))
        }
    }
}

/// The text that the end's note signs. Its first lines are no checkpoint's: the second one is no number.
pub(crate) fn end_text(origin: &str, from: u64, to: u64, end: &End) -> String {
    format!("{FORMAT}\n{origin}\nfrom {from} to {to}, {} entries\n{}\n", end.entries, end.sha256)
}

/// From where somebody came, in words.
pub(crate) fn client_words(client: Option<&crate::detail::ClientFacts>) -> String {
    let Some(c) = client else { return String::new() };
    let mut words = format!("{} port {}", c.ip, c.port);
    for word in [&c.tls, &c.cipher].into_iter().filter(|w| !w.is_empty()) {
        words.push(' ');
        words.push_str(word);
    }
    words
}

pub(crate) const FORMAT: &str = "sealpost-audit-export-1";
