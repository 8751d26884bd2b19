//! Reading the log: what `sealpost log` and the auditor's pages show.

use sealpost_model::{AccountId, Actor, AuditId, Id, Protocol, TenantId, Time};
use sealpost_policy::{Command, Roles, decide};
use sealpost_store::params;

use crate::detail::Detail;
use crate::entry::Placed;
use crate::sequence::tree_row;
use crate::tree::WIDTH;
use crate::{Audit, Caller, ClientFacts, Draft, Error, Object, Outcome, Verb, object, schema, tree};

/// What to show. What is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before this time.
    pub since: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
    /// Whose acts.
    pub actor: Option<Actor>,
    /// Acts on this mailbox.
    pub owner: Option<AccountId>,
    /// These acts.
    pub verb: Option<Verb>,
    /// With this end.
    pub outcome: Option<Outcome>,
    /// About this thing.
    pub object: Option<Object>,
    /// By this class of actors (S55).
    pub class: Option<Class>,
    /// Only entries before this position: [`Page::next`] of the page before.
    pub before: Option<u64>,
    /// At most this many; 0 is 100. A page never has more than 1,000.
    pub limit: usize,
}

/// The views of S55. An entry does not say what roles a person had, so the act tells: whoever changes people, rights or rules
/// through the control socket or by an administrative verb acted as an administrator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// People at their own work.
    Users,
    /// People who administer.
    Administrators,
    /// Whoever runs the host: the control socket without a sign-in, offline commands.
    Operators,
    /// The server itself, recipients, devices, strangers.
    Others,
}

impl Class {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Users, "users"),
        (Self::Administrators, "administrators"),
        (Self::Operators, "operators"),
        (Self::Others, "others"),
    ];

    /// The class with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, w)| *w == word).map(|(class, _)| class)
    }

    fn of(e: &crate::Entry) -> Self {
        match e.actor() {
            Some(Actor::Operator { .. }) => Self::Operators,
            Some(Actor::Person { .. }) => {
                let by_socket = e.protocol == Protocol::Control as i64 || e.protocol == Protocol::Cli as i64;
                let administers = Verb::from_number(e.verb).is_some_and(Verb::administers);
                if by_socket || administers { Self::Administrators } else { Self::Users }
            }
            _ => Self::Others,
        }
    }
}

/// Some entries, newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// The entries.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` at the log's beginning. A page may be short, or empty, and yet have a next
    /// one: looking at entries that the filter leaves out has an end, too.
    pub next: Option<u64>,
}

/// An entry as people read it.
#[derive(Clone)]
pub struct Record {
    /// Its id.
    pub id: AuditId,
    /// Its place in the tree; `None` in its first second.
    pub position: Option<u64>,
    /// When.
    pub at: Time,
    /// Who; `None` for a kind that a later version wrote.
    pub actor: Option<Actor>,
    /// Whose mailbox.
    pub owner: Option<AccountId>,
    /// Through which door.
    pub protocol: Option<Protocol>,
    /// What.
    pub verb: Option<Verb>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The opened entry whose end this is.
    pub closes: Option<AuditId>,
    /// Why, as a name.
    pub reason: String,
    /// About what.
    pub objects: Vec<Object>,
    /// From where; only for those who may see it.
    pub client: Option<ClientFacts>,
    /// Remarks with their names; only for those who may see them. They may hold PHI.
    pub notes: Vec<(String, String)>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({} {:?} {:?})", self.id, self.verb, self.outcome)
    }
}

impl Audit {
    /// A page of a log, newest first. Whoever asks needs the role for the log; remarks and client addresses come only
    /// with the role for details. The look is an entry itself.
    ///
    /// # Errors
    /// [`Error::Denied`], which is an entry too; the store's.
    pub async fn list(
        &self,
        caller: &Caller,
        roles: Roles,
        tenant: TenantId,
        filter: &Filter,
    ) -> Result<Page, Error> {
        let look = Draft::new(tenant, &caller.actor, &caller.client, Verb::ReadLog);
        if let Err(denied) = decide::command(roles, Command::LogList) {
            self.refusal(look.refused().reason(denied.reason.name())).await?;
            return Err(denied.into());
        }
        let details = decide::command(roles, Command::LogDetail).is_ok();
        self.read(look.reason(if details { "with-details" } else { "without-details" })).await?;
        // What just happened is shown in its place. If that fails, the log is shown as it stands.
        if filter.before.is_none()
            && let Err(error) = self.pass().await
        {
            tracing::error!(%error, "entries of the audit log wait to be sequenced");
        }
        self.page(tenant, filter, details).await
    }

    async fn page(&self, tenant: TenantId, filter: &Filter, details: bool) -> Result<Page, Error> {
        let keys = self.inner.keys.tenant(tenant).await?;
        let limit = if filter.limit == 0 { 100 } else { filter.limit.min(1000) };
        let mut page = Page::default();
        let mut end = match filter.before {
            Some(before) => before,
            None => {
                let (size, pending) = self
                    .inner
                    .store
                    .read(move |tx| {
                        let size = tree_row(tx, tenant)?.map_or(0, |r| r.size);
                        let pending =
                            tx.rows(&schema::PENDING, params![tenant, 1000_i64], Placed::try_read)?;
                        Ok::<_, sealpost_store::Error>((size, pending))
                    })
                    .await?;
                // Entries of the last moment, should the pass have left some.
                let mut pending: Vec<_> = pending.into_iter().flatten().filter(|p| filter.takes(p)).collect();
                pending.sort_by_key(|p| std::cmp::Reverse((p.entry.at, p.entry.id)));
                page.records.extend(pending.iter().map(|p| record(&keys, p, details)));
                size
            }
        };
        for _ in 0..TILES {
            if end == 0 || page.records.len() >= limit {
                break;
            }
            let number = (end - 1) / WIDTH as u64;
            let width = (end - number * WIDTH as u64) as usize;
            let rows = self.rows_of_tile(tenant, number, width).await?;
            for placed in rows.iter().rev() {
                if page.records.len() >= limit {
                    break;
                }
                end = placed.position.and_then(|p| u64::try_from(p).ok()).unwrap_or(end);
                if filter.takes(placed) {
                    page.records.push(record(&keys, placed, details));
                }
            }
            if page.records.len() < limit {
                end = number * WIDTH as u64;
                // Entries stand in the order of their time, but for the moment that reads take to be ingested.
                if let (Some(since), Some(first)) = (filter.since, rows.first())
                    && first.entry.time() < since.minus(SLACK)
                {
                    end = 0;
                }
            }
        }
        page.next = (end > 0).then_some(end);
        Ok(page)
    }

    /// The first `width` rows of a tile. Missing ones are left out: that is for `verify` to say.
    async fn rows_of_tile(&self, tenant: TenantId, number: u64, width: usize) -> Result<Vec<Placed>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| {
                let Some(tile) = tree::tile(tx, tenant, 0, number)? else { return Ok(Vec::new()) };
                let mut rows = Vec::with_capacity(width);
                for id in tile.ids.iter().take(width) {
                    rows.extend(tx.row(&schema::BY_ID, params![*id], Placed::try_read)?.and_then(Result::ok));
                }
                Ok::<_, sealpost_store::Error>(rows)
            })
            .await?;
        Ok(rows)
    }
}

impl Filter {
    fn takes(&self, placed: &Placed) -> bool {
        let e = &placed.entry;
        self.since.is_none_or(|t| e.time() >= t)
            && self.until.is_none_or(|t| e.time() < t)
            && self.actor.is_none_or(|a| e.actor() == Some(a))
            && self.class.is_none_or(|c| Class::of(e) == c)
            && self.owner.is_none_or(|o| e.owner() == Some(o))
            && self.verb.is_none_or(|v| e.verb == v as i64)
            && self.outcome.is_none_or(|o| e.outcome == o as i64)
            && self.object.is_none_or(|o| object::decode(&e.objects).is_some_and(|l| l.contains(&o)))
    }
}

fn record(keys: &sealpost_store::keys::TenantKeys, placed: &Placed, details: bool) -> Record {
    let e = &placed.entry;
    let detail = details
        .then(|| keys.open(&e.aad(), &e.detail).ok().and_then(|plain| Detail::parse(&plain)))
        .flatten();
    let (client, notes) = detail.map_or((None, Vec::new()), |d| (d.client, d.notes));
    Record {
        id: e.id(),
        position: placed.position.and_then(|p| u64::try_from(p).ok()),
        at: e.time(),
        actor: e.actor(),
        owner: e.owner(),
        protocol: u8::try_from(e.protocol).ok().and_then(Protocol::from_number),
        verb: Verb::from_number(e.verb),
        outcome: Outcome::from_number(e.outcome),
        closes: (e.closes != 0).then(|| AuditId::from_raw(e.closes)),
        reason: e.reason.clone(),
        objects: object::decode(&e.objects).unwrap_or_default(),
        client,
        notes,
    }
}

/// Tiles that one page looks at: about 10,000 entries.
const TILES: usize = 40;
const SLACK: std::time::Duration = std::time::Duration::from_secs(60);
