//! What `verify` found, as data and as words.

use std::fmt;

use sealpost_model::{TenantId, Time};

use crate::Object;

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each log.
    pub tenants: Vec<TenantReport>,
    /// What could be said about rollback.
    pub anchor: AnchorState,
    /// What each anchor said.
    pub anchors: Vec<AnchorReport>,
    /// Which table is covered by what.
    pub coverage: Vec<Coverage>,
}

/// One log.
#[derive(Debug)]
pub struct TenantReport {
    /// Whose.
    pub tenant: TenantId,
    /// Entries in the tree.
    pub size: u64,
    /// The root, base64.
    pub root: String,
    /// The name under which its checkpoints are signed.
    pub origin: String,
    /// The time of the newest entry in the tree.
    pub newest: Option<Time>,
    /// Entries that are not yet in the tree; while the server runs, the newest second's.
    pub pending: u64,
    /// Acts that began and have not ended.
    pub open: u64,
    /// Things that accept entries cite and that are no longer there, rightly: retention or their owner ended them.
    pub retired: u64,
    /// What restores left out, and say so.
    pub lost: Vec<LostPart>,
    /// Times in which the log stood still though nobody had stopped the server.
    pub silences: Vec<Silence>,
    /// Since when the oldest entry that is not yet in the tree waits.
    pub waiting: Option<Time>,
    /// What is wrong. At most 1,000 are listed.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
}

/// What an anchor says.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum AnchorState {
    /// No anchor is configured, or its file does not exist.
    #[default]
    None,
    /// Each log contains what its anchor knows.
    Agrees,
    /// A log does not: see its findings.
    Conflicts,
}

/// One anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorReport {
    /// Its name.
    pub name: String,
    /// What became of it: an error in words, or whether it holds anything.
    pub held: Result<bool, String>,
    /// It holds something that is no anchor's text.
    pub damaged: bool,
}

/// What a restore left out: the break that `verify` accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPart {
    /// The `restored` entry's place.
    pub position: u64,
    /// Its id.
    pub id: i64,
    /// When the log went on.
    pub at: Time,
    /// Entries that were restored.
    pub from: u64,
    /// Entries of each newer checkpoint that was known then.
    pub lost: Vec<u64>,
}

/// A time without a heartbeat (S58): longer than two of them should be apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The last sign of life.
    pub after: Time,
    /// Its place.
    pub position: u64,
    /// The next sign of life; `None` when there was none until now.
    pub before: Option<Time>,
    /// The next one was a start: the server had ended without a word.
    pub restarted: bool,
}

/// A place that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The row of an entry is gone.
    RowMissing {
        /// Its place in the tree.
        position: u64,
        /// Its id.
        id: i64,
    },
    /// The row of an entry is not what was written.
    RowChanged {
        /// Its place in the tree.
        position: u64,
        /// Its id.
        id: i64,
    },
    /// A row claims a place that it does not have.
    RowMisplaced {
        /// Its id.
        id: i64,
        /// The place that it claims; `None` if it claims to be new.
        claims: Option<i64>,
        /// Its true place, if it has one.
        position: Option<u64>,
    },
    /// A row says that it is in the tree, and isn't.
    RowExtra {
        /// Its id.
        id: i64,
    },
    /// A row was made or changed by somebody without the keys before it was sequenced.
    RowForged {
        /// Its place in the tree, if it has one.
        position: Option<u64>,
        /// Its id.
        id: i64,
    },
    /// Hashes of the tree are gone.
    TileMissing {
        /// The tile's level.
        level: u8,
        /// Its number there.
        number: u64,
    },
    /// Hashes of the tree are not what was written.
    TileChanged {
        /// The tile's level.
        level: u8,
        /// Its number there.
        number: u64,
    },
    /// There are entries of an organisation that has no keys, or whose keys don't open.
    NoKeys {
        /// What the keys say.
        why: String,
    },
    /// There are entries, and no tree.
    TreeMissing,
    /// The checkpoint's signature is not by this log's key, or it is for another size than the row says.
    SignatureWrong,
    /// The rows and hashes don't give the root that was signed.
    RootWrong,
    /// An anchor knows more entries than there are: the end of the log was cut off, or this is an older copy.
    Rollback {
        /// Which anchor.
        anchor: String,
        /// Entries here.
        here: u64,
        /// Entries that the anchor knows.
        anchored: u64,
    },
    /// An anchor knows another history: a fork.
    OtherHistory {
        /// Which anchor.
        anchor: String,
        /// Entries that the anchor knows.
        anchored: u64,
    },
    /// A `restored` entry says that the log came from something that it does not contain.
    RestoredWrong {
        /// Its place.
        position: u64,
        /// Its id.
        id: i64,
    },
    /// The completion of an opened entry is gone.
    CompletionMissing {
        /// The opened entry's place.
        position: u64,
        /// Its id.
        id: i64,
    },
    /// A thing that an accept entry cites is gone, or not what was written.
    Cited {
        /// The entry's place.
        position: u64,
        /// The entry's id.
        id: i64,
        /// The thing.
        object: Object,
        /// What is wrong with it.
        standing: Standing,
    },
}

/// How a cited thing stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is there, as it was written.
    Good,
    /// It is gone, as it should be: its retention ended, or its owner removed it.
    Retired,
    /// It is gone and should not be.
    Missing,
    /// It is there, and not what was written.
    Changed,
}

/// What covers a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The table.
    pub table: &'static str,
    /// What a change of it would meet.
    pub by: &'static str,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.tenants.iter().all(|t| t.findings.is_empty() && t.more == 0)
            && self.anchors.iter().all(|a| !a.damaged)
    }

    /// The verdict in one sentence.
    pub fn verdict(&self) -> &'static str {
        match (self.is_sound(), &self.anchor) {
            (false, _) => "The log is not what was written: see the findings.",
            (true, AnchorState::Agrees) if self.tenants.iter().any(|t| !t.lost.is_empty()) => {
                "The log is consistent and contains all that the anchor knows, but for what a restore left out."
            }
            (true, AnchorState::Agrees) => "The log is consistent and contains all that the anchor knows.",
            (true, _) => {
                "The log is consistent; rollback can't be excluded, since there is no anchor to compare with."
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for t in &self.tenants {
            writeln!(f, "log of tenant {}: {} entries, root {}", t.tenant, t.size, t.root)?;
            if let Some(newest) = t.newest {
                writeln!(f, "  signed as {}, newest entry {}", t.origin, newest.rfc3339())?;
            }
            for (count, what) in [
                (t.pending, "not yet in the tree"),
                (t.open, "begun and not ended"),
                (t.retired, "cited things gone by retention or by their owner"),
            ] {
                if count > 0 {
                    writeln!(f, "  {count} {what}")?;
                }
            }
            if let Some(since) = t.waiting {
                writeln!(
                    f,
                    "  LOOK: entries wait since {}, so that the sequencer stands still",
                    since.rfc3339()
                )?;
            }
            for lost in &t.lost {
                writeln!(f, "  LOOK: {lost}")?;
            }
            for silence in &t.silences {
                writeln!(f, "  LOOK: {silence}")?;
            }
            for finding in &t.findings {
                writeln!(f, "  WRONG: {finding}")?;
            }
            if t.more > 0 {
                writeln!(f, "  and {} more", t.more)?;
            }
        }
        if !self.coverage.is_empty() {
            writeln!(f, "what covers which table:")?;
            for c in &self.coverage {
                writeln!(f, "  {}: {}", c.table, c.by)?;
            }
        }
        for a in &self.anchors {
            match &a.held {
                Ok(true) => writeln!(f, "anchor {}: read", a.name)?,
                Ok(false) => writeln!(f, "anchor {}: holds nothing yet", a.name)?,
                Err(why) if a.damaged => writeln!(f, "anchor {}: WRONG: {why}", a.name)?,
                Err(why) => writeln!(f, "anchor {}: can't be asked: {why}", a.name)?,
            }
        }
        writeln!(f, "{}", self.verdict())
    }
}

impl fmt::Display for LostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, id, at, from, lost } = self;
        write!(
            f,
            "a restore on {}, audit entry {id} at position {position}, went on from {from} entries",
            at.rfc3339()
        )?;
        match lost.last() {
            Some(newest) if newest > from => write!(f, "; {} that were known are lost", newest - from),
            Some(_) => write!(f, "; another history was known"),
            None => write!(f, "; nothing newer was known"),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, position, before, restarted } = self;
        write!(f, "after position {position} ")?;
        match (before, restarted) {
            (Some(before), true) => write!(
                f,
                "the server ended without a stop entry, between {} and {}",
                after.rfc3339(),
                before.rfc3339()
            ),
            (Some(before), false) => {
                write!(
                    f,
                    "the log stood still from {} to {}, and nobody had stopped the server",
                    after.rfc3339(),
                    before.rfc3339()
                )
            }
            (None, _) => write!(f, "there is no sign of life since {}, and no stop entry", after.rfc3339()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowMissing { position, id } => {
                write!(f, "audit entry {id} at position {position} was removed")
            }
            Self::RowChanged { position, id } => {
                write!(f, "audit entry {id} at position {position} is not what was written")
            }
            Self::RowMisplaced { id, claims, position } => {
                let claims = claims.map_or("no position".to_owned(), |c| format!("position {c}"));
                match position {
                    Some(position) => {
                        write!(f, "audit entry {id} claims {claims} and stands at position {position}")
                    }
                    None => write!(f, "audit entry {id} claims {claims} and is not in the tree"),
                }
            }
            Self::RowExtra { id } => write!(f, "audit entry {id} claims to be in the tree and is not"),
            Self::RowForged { position: Some(position), id } => {
                write!(f, "audit entry {id} at position {position} was not written by this server")
            }
            Self::RowForged { position: None, id } => {
                write!(f, "audit entry {id}, not yet in the tree, was not written by this server")
            }
            Self::TileMissing { level, number } => {
                write!(f, "audit_tile level {level} number {number}: hashes of the tree are missing")
            }
            Self::TileChanged { level, number } => {
                write!(
                    f,
                    "audit_tile level {level} number {number}: hashes of the tree are not what was written"
                )
            }
            Self::NoKeys { why } => {
                write!(
                    f,
                    "audit entries name an organisation whose keys can't be had ({why}): their tenant was changed"
                )
            }
            Self::TreeMissing => {
                f.write_str("audit_tree: there are entries and no tree; its row was removed")
            }
            Self::SignatureWrong => {
                f.write_str("audit_tree note: the checkpoint is not what this log's key signed")
            }
            Self::RootWrong => f.write_str("rows and hashes don't give the root that was signed"),
            Self::Rollback { anchor, here, anchored } => write!(
                f,
                "the anchor {anchor} knows {anchored} entries and {here} are here: the end of the log, from position {here} on, was cut off, or this is an older copy of the data"
            ),
            Self::OtherHistory { anchor, anchored } => {
                write!(f, "the anchor {anchor} knows another history of the first {anchored} entries")
            }
            Self::RestoredWrong { position, id } => write!(
                f,
                "audit entry {id} at position {position} says that the log was restored from something that it does not contain"
            ),
            Self::CompletionMissing { position, id } => {
                write!(f, "audit entry {id} at position {position} began an act whose end was removed")
            }
            Self::Cited { position, id, object, standing } => {
                let what = match standing {
                    Standing::Changed => "is not what was written",
                    _ => "is missing",
                };
                write!(
                    f,
                    "{} {}, which audit entry {id} at position {position} cites, {what}",
                    object.kind.word(),
                    object.id
                )
            }
        }
    }
}
