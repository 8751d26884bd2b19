//! Verifies an export without store or keys, in bounded memory: what a stranger can check.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sealpost_crypto::{Sha256, sha256};
use tlog_tiles::{Hash, check_tree, record_hash};

use super::{End, EntryLine, FORMAT, Header, Trailer, client_words, end_text};
use crate::checkpoint::{self, Signed};
use crate::detail::{self, Detail};
use crate::spine::{Spine, subtrees};
use crate::{leaf, words};

/// What a verification of an export found.
#[derive(Debug, Default)]
pub struct ExportReport {
    /// Whose log, by its number there.
    pub tenant: i64,
    /// The log's name.
    pub origin: String,
    /// The key that the file names, as signed-note writes it.
    pub key: String,
    /// SHA-256 of the public key, hex: what to compare with the one that was given by hand.
    pub fingerprint: String,
    /// When it was made.
    pub made: String,
    /// The first position.
    pub from: u64,
    /// The position behind the last.
    pub to: u64,
    /// Entries that the signed log had then.
    pub size: u64,
    /// Entries that were read.
    pub entries: u64,
    /// Details that are opened and are what the log commits to.
    pub opened: u64,
    /// Times of the first and the last entry.
    pub span: Option<(String, String)>,
    /// Names of anchors whose checkpoints were held against it.
    pub anchors: Vec<String>,
    /// What restores left out: position of the entry, and what it says.
    pub restored: Vec<(u64, String)>,
    /// What is wrong. At most 1,000 are listed.
    pub findings: Vec<ExportFinding>,
    /// How many more there are.
    pub more: u64,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportFinding {
    /// The file is not an export, or of a version that is not known.
    NotAnExport(&'static str),
    /// It is an export by another key than the one that was given.
    OtherKey,
    /// The checkpoint in the header is not signed by the key in the header.
    Checkpoint,
    /// A line can't be read.
    Line {
        /// Its number in the file, from 1.
        line: u64,
    },
    /// An entry is missing, or stands at another place.
    Missing {
        /// The position that was to come.
        position: u64,
        /// The one that came.
        found: u64,
    },
    /// More entries than the header says.
    TooMany {
        /// The first one too many.
        position: u64,
    },
    /// An entry is not what was written.
    Changed {
        /// Its position.
        position: u64,
    },
    /// The hash that stands in an entry's line was changed.
    LeafChanged {
        /// Its position.
        position: u64,
    },
    /// The words of an entry don't say what its facts do.
    Words {
        /// Its position.
        position: u64,
    },
    /// An opened detail is not what the log commits to.
    Opened {
        /// Its position.
        position: u64,
    },
    /// Leaves and hashes don't give the signed root.
    Root,
    /// An anchor's checkpoint is not a beginning of this log.
    Anchor(String),
    /// The file ends before its end.
    CutOff,
    /// Something was changed that is no entry's fact: the file's bytes are not those that were signed.
    Bytes,
    /// Something stands behind the end.
    Behind,
}

/// Verifies an export. `key` is what is known of the log's key from elsewhere, if anything: its fingerprint (hex) or the key as
/// signed-note writes it. Without it, the file is held against the key that it names itself.
///
/// # Errors
/// Only what reading says. What is wrong with the file is in the report.
pub fn verify(input: impl BufRead, key: Option<&str>) -> io::Result<ExportReport> {
    let mut lines = Lines { input, hash: Sha256::new(), number: 0 };
    let mut report = ExportReport::default();
    let Some(first) = lines.next()? else {
        report.find(ExportFinding::NotAnExport("the file is empty"));
        return Ok(report);
    };
    let header: Header = match serde_json::from_slice(first.text()) {
        Ok(header) => header,
        Err(_) => {
            report.find(ExportFinding::NotAnExport("its first line is not an export's"));
            return Ok(report);
        }
    };
    let mut check = match Check::new(header, key, &mut report) {
        Ok(check) => check,
        Err(why) => {
            report.find(why);
            return Ok(report);
        }
    };
    let mut hash = lines.hash.clone();
    let mut end = None;
    while let Some(line) = lines.next()? {
        if end.is_some() {
            report.find(ExportFinding::Behind);
            break;
        }
        if line.text().starts_with(b"{\"end\"") {
            end = Some((line, std::mem::take(&mut hash)));
        } else {
            check.line(lines.number, line.text(), &mut report);
            hash = lines.hash.clone();
        }
    }
    check.finish(end, &mut report);
    Ok(report)
}

/// A line with what ended it.
struct Line(Vec<u8>);

impl Line {
    fn text(&self) -> &[u8] {
        self.0.strip_suffix(b"\n").unwrap_or(&self.0)
    }
}

struct Lines<R> {
    input: R,
    /// Of all lines so far.
    hash: Sha256,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        self.input.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        self.number += 1;
        self.hash.update(&line);
        Ok((!line.is_empty()).then_some(Line(line)))
    }
}

struct Check {
    header: Header,
    public: [u8; 32],
    signed: Signed,
    /// The tree of the hashes that stand in the lines.
    said: Spine,
    /// The tree of what the lines say.
    made: Spine,
    /// Where the two differ.
    differing: Vec<u64>,
    differing_more: bool,
    next: u64,
    broken: bool,
    first: Option<i64>,
    last: i64,
    /// Checkpoints that `restored` entries cite as lost.
    lost: Vec<(u64, Hash)>,
    /// Roots of the log at sizes that anchors know, as far as they lie in the part.
    wanted: BTreeMap<u64, Option<Hash>>,
}

impl Check {
    fn new(header: Header, key: Option<&str>, report: &mut ExportReport) -> Result<Self, ExportFinding> {
        let bad = ExportFinding::NotAnExport;
        if header.format != FORMAT {
            return Err(bad("its format is not known to this version"));
        }
        let public = checkpoint::parse_verifier(&header.key).ok_or(bad("its key is not one"))?;
        report.tenant = header.tenant.0;
        report.key.clone_from(&header.key);
        report.fingerprint = sha256(&public).iter().map(|b| format!("{b:02x}")).collect();
        report.made.clone_from(&header.made);
        (report.from, report.to) = (header.from, header.to);
        if let Some(key) = key.map(str::trim)
            && key != header.key
            && !key.replace([':', ' '], "").eq_ignore_ascii_case(&report.fingerprint)
        {
            report.find(ExportFinding::OtherKey);
        }
        let signed = checkpoint::verify(&public, &header.checkpoint).ok_or(ExportFinding::Checkpoint)?;
        report.origin.clone_from(&signed.origin);
        report.size = signed.size;
        if !header.key.starts_with(&format!("{}+", signed.origin)) {
            return Err(bad("its key is another log's"));
        }
        if header.from >= header.to || header.to > signed.size {
            return Err(bad("its header says that it holds entries that the signed log does not have"));
        }
        let hashes = |texts: &[String], start, end| {
            let places = subtrees(start, end);
            let hashes: Option<Vec<Hash>> = texts.iter().map(|t| hash(t)).collect();
            hashes.filter(|h| h.len() == places.len()).map(|h| places.into_iter().zip(h))
        };
        let mut said = Spine::default();
        let left = hashes(&header.left, 0, header.from);
        for ((level, _), hash) in
            left.ok_or(bad("its hashes to the left are not as many as there must be"))?
        {
            said.push_subtree(level, hash);
        }
        let _right = hashes(&header.right, header.to, signed.size)
            .ok_or(bad("its hashes to the right are not as many as there must be"))?;
        let next = header.from;
        Ok(Self {
            header,
            public,
            signed,
            made: said.clone(),
            said,
            differing: Vec::new(),
            differing_more: false,
            next,
            broken: false,
            first: None,
            last: 0,
            lost: Vec::new(),
            wanted: BTreeMap::new(),
        })
    }

    fn line(&mut self, number: u64, text: &[u8], report: &mut ExportReport) {
        let Ok(line) = serde_json::from_slice::<EntryLine>(text) else {
            report.find(ExportFinding::Line { line: number });
            self.broken = true;
            // Whatever it was, it stood for one entry.
            self.next += 1;
            return;
        };
        let position = line.position;
        if position >= self.header.to {
            report.find(ExportFinding::TooMany { position });
            self.broken = true;
            return;
        }
        if position != self.next {
            report.find(ExportFinding::Missing { position: self.next, found: position });
            self.broken = true;
        }
        self.next = position + 1;
        report.entries += 1;
        let decoded =
            (decode(&line.objects), decode(&line.detail), decode(&line.commitment), hash(&line.leaf));
        let (Some(objects), Some(detail), Some(commitment), Some(said)) = decoded else {
            report.find(ExportFinding::Changed { position });
            self.broken = true;
            return;
        };
        let numbers = [
            line.id,
            line.tenant,
            line.at,
            line.verb,
            line.outcome,
            line.protocol,
            line.actor_kind,
            line.actor_tenant,
            line.actor,
            line.owner,
            line.closes,
        ]
        .map(|n| n.0);
        let facts = leaf::facts(&numbers, &line.reason, &objects);
        let made = record_hash(&leaf::data(facts, &detail, &commitment));
        self.said.push(said);
        self.made.push(made);
        if said != made || line.tenant != self.header.tenant {
            if self.differing.len() < MOST {
                self.differing.push(position)
            } else {
                self.differing_more = true
            }
        }
        if line.says != words::line(&numbers, &line.reason, &objects) {
            report.find(ExportFinding::Words { position });
        }
        if let Some(opened) = &line.opened {
            let plain = decode(&opened.plain).unwrap_or_default();
            let parsed = Detail::parse(&plain)
                .filter(|d| opened.client == client_words(d.client.as_ref()) && opened.notes == d.notes);
            if detail::commitment(&plain) != commitment.as_slice() || parsed.is_none() {
                report.find(ExportFinding::Opened { position });
            } else {
                report.opened += 1;
            }
        }
        if let Some(said) = crate::restored_line::parse(line.verb.0, line.outcome.0, &line.reason) {
            self.lost.extend(said.lost);
            report.restored.push((position, line.reason));
        }
        self.first.get_or_insert(line.at.0);
        self.last = line.at.0;
        let size = self.said.size();
        if self.wanted.len() < MOST
            && self.header.anchored.iter().any(|a| size_of(&a.checkpoint) == Some(size))
        {
            self.wanted.insert(size, Some(self.said.root()));
        }
    }

    fn finish(mut self, end: Option<(Line, Sha256)>, report: &mut ExportReport) {
        if self.next < self.header.to {
            if end.is_some() {
                report.find(ExportFinding::Missing { position: self.next, found: self.header.to });
            }
            self.broken = true;
        }
        if !self.broken {
            let places = subtrees(self.header.to, self.signed.size);
            for ((level, _), text) in places.into_iter().zip(&self.header.right) {
                let hash = hash(text).unwrap_or_default();
                self.said.push_subtree(level, hash);
                self.made.push_subtree(level, hash);
            }
        }
        // Which of the two is what was signed says what was changed: the hashes, or what they stand for.
        let made = !self.broken && self.made.root() == self.signed.root;
        let said = !self.broken && self.said.root() == self.signed.root;
        for position in std::mem::take(&mut self.differing) {
            report.find(if made {
                ExportFinding::LeafChanged { position }
            } else {
                ExportFinding::Changed { position }
            });
        }
        if !made && !said && !self.broken {
            report.find(ExportFinding::Root);
        }
        report.more += u64::from(self.differing_more);
        self.anchors(report);
        if let Some(first) = self.first {
            report.span = Some((words::time(first), words::time(self.last)));
        }
        match end {
            None => report.find(ExportFinding::CutOff),
            Some((line, hash)) => {
                if !self.end(&line, hash, report.entries) {
                    report.find(ExportFinding::Bytes);
                }
            }
        }
    }

    /// Whether the last line is what was signed, byte by byte.
    fn end(&self, line: &Line, hash: Sha256, entries: u64) -> bool {
        let Ok(trailer) = serde_json::from_slice::<Trailer>(line.text()) else { return false };
        let sha256 = BASE64_STANDARD.encode(hash.finish());
        let wanted = End { entries, sha256 };
        let text = end_text(&self.signed.origin, self.header.from, self.header.to, &wanted);
        let again = serde_json::to_vec(&trailer).unwrap_or_default();
        trailer.end.entries == wanted.entries
            && trailer.end.sha256 == wanted.sha256
            && checkpoint::verify_note(&self.public, &self.signed.origin, &trailer.signed)
                == Some(text.as_str())
            && again == line.text()
            && line.0.ends_with(b"\n")
    }

    fn anchors(&self, report: &mut ExportReport) {
        for a in &self.header.anchored {
            let signed = checkpoint::verify(&self.public, &a.checkpoint);
            let good = signed.is_some_and(|s| {
                let here = self.wanted.get(&s.size).copied().flatten();
                if a.lost {
                    // If the `restored` entry that says so stands in this part, it must.
                    let part = report.restored.is_empty() && self.header.from > 0;
                    return part || self.lost.contains(&(s.size, s.root));
                }
                let path: Option<Vec<Hash>> = a.path.iter().map(|t| hash(t)).collect();
                let consistent = path.is_some_and(|p| {
                    check_tree(&p, self.signed.size, self.signed.root, s.size, s.root).is_ok()
                });
                consistent && here.is_none_or(|here| here == s.root)
            });
            if good {
                report.anchors.push(a.anchor.clone());
            } else {
                report.find(ExportFinding::Anchor(a.anchor.clone()));
            }
        }
    }
}

/// The size that a checkpoint says, unverified.
fn size_of(note: &str) -> Option<u64> {
    note.split('\n').nth(1)?.parse().ok()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

fn hash(text: &str) -> Option<Hash> {
    Some(Hash(decode(text)?.try_into().ok()?))
}

impl ExportReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    fn find(&mut self, finding: ExportFinding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            writeln!(f, "log {} (tenant {})", self.origin, self.tenant)?;
            writeln!(f, "  key fingerprint {}", self.fingerprint)?;
            writeln!(
                f,
                "  positions {} to {} of {} entries, exported {}",
                self.from,
                self.to.saturating_sub(1),
                self.size,
                self.made
            )?;
        }
        if let Some((first, last)) = &self.span {
            writeln!(
                f,
                "  {} entries read, from {first} to {last}; {} details opened",
                self.entries, self.opened
            )?;
        }
        for anchor in &self.anchors {
            writeln!(f, "  agrees with the checkpoint of anchor {anchor}")?;
        }
        for (position, text) in &self.restored {
            writeln!(f, "  LOOK: a restore at position {position}: {text}")?;
        }
        for finding in &self.findings {
            writeln!(f, "WRONG: {finding}")?;
        }
        if self.more > 0 {
            writeln!(f, "and {} more", self.more)?;
        }
        let verdict = if self.is_sound() {
            "Every entry of this file is what the log's key signed, and none is missing between the first and the last."
        } else {
            "This file is NOT what was exported: see above."
        };
        writeln!(f, "{verdict}")
    }
}

impl fmt::Display for ExportFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnExport(why) => write!(f, "this is no export of an audit log: {why}"),
            Self::OtherKey => f.write_str("it is signed by another key than the one that was given"),
            Self::Checkpoint => f.write_str("the checkpoint is not signed by the log's key"),
            Self::Line { line } => write!(f, "line {line} can't be read"),
            Self::Missing { position, found } if found > position => {
                write!(f, "the entries from position {position} to {} are missing", found - 1)
            }
            Self::Missing { position, found } => {
                write!(f, "where position {position} was to come stands position {found}")
            }
            Self::TooMany { position } => write!(f, "position {position} is beyond what the header says"),
            Self::Changed { position } => {
                write!(f, "the entry at position {position} is not what was written")
            }
            Self::LeafChanged { position } => {
                write!(f, "the hash that stands with the entry at position {position} was changed")
            }
            Self::Words { position } => {
                write!(f, "the words of the entry at position {position} don't say what its facts do")
            }
            Self::Opened { position } => {
                write!(f, "the opened detail at position {position} is not what the log commits to")
            }
            Self::Root => f.write_str("entries and hashes don't give the root that was signed"),
            Self::Anchor(name) => write!(f, "the checkpoint of anchor {name} is not a beginning of this log"),
            Self::CutOff => f.write_str("the file ends before its end: it was cut off"),
            Self::Bytes => f.write_str("the bytes of the file are not those that were signed at its end"),
            Self::Behind => f.write_str("something stands behind the end"),
        }
    }
}

const MOST: usize = 1000;
/// The longest line: an entry about a hundred thousand things has less.
const LONGEST: u64 = 16 << 20;
