//! The one function that every message goes through.

use sealpost_archive::journal::{Direction, Envelope, NewJournal};
use sealpost_audit::{Caller, Verb};
use sealpost_crypto::Aad;
use sealpost_identity::Target;
use sealpost_model::{
    AccountId, Address, AddressId, DeviceId, Flags, Id, LedgerId, ReversePath, SubmissionId, TenantId,
};
use sealpost_policy::{DomainPolicy, Grade, Method, Plan, Reason, RecipientFacts, decide};
use sealpost_store::keys::{Root, TenantKeys};

use crate::body::Arrived;
use crate::ledger::{Detail, State};
use crate::marks::{self, Bound, Marks};
use crate::queue::Claimed;
use crate::ready::{Outgoing, QueueRow, Ready, RecipientRow};
use crate::{Accepted, Arrival, Delivery, Error, Evidence, Facts, Kind, Origin, Rcpt, Refused, Submission};

/// What is sealed of a message that is on its way.
///
/// This much stays for the sender's own view of it; the summary and the body's key hang on a life key that dies when
/// the queue is done with the message.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct SubmissionDetail {
    pub(crate) from: String,
    pub(crate) facts: Facts,
}

impl SubmissionDetail {
    pub(crate) fn open(plain: &[u8]) -> Option<Self> {
        postcard::from_bytes(plain).ok()
    }
}

/// A recipient with the way that policy allows.
struct Planned {
    address: Address,
    rcpt: Rcpt,
    plan: Plan,
    /// They are a member of a group that was written to.
    by_group: bool,
}

/// All recipients, and the groups that were unfolded.
#[derive(Default)]
struct Routes {
    planned: Vec<Planned>,
    groups: Vec<(Address, AddressId)>,
}

impl Routes {
    /// A mailbox gets one copy, however many groups it is in.
    fn push(&mut self, new: Planned) {
        let same = |p: &Planned| match (p.rcpt, new.rcpt) {
            (Rcpt::Here { account: a, .. }, Rcpt::Here { account: b, .. }) => {
                a == b && (p.by_group || new.by_group)
            }
            _ => false,
        };
        if !self.planned.iter().any(|p| p.address.same(&new.address) || same(p)) {
            self.planned.push(new);
        }
    }
}

/// What decides about each recipient of a message.
#[derive(Clone, Copy)]
struct Way {
    origin: Origin,
    kind: Kind,
    domain: DomainPolicy,
    asked_pickup: bool,
    /// How large the message is.
    size: u64,
}

/// What all rows of a message have in common.
struct Common<'a> {
    keys: &'a TenantKeys,
    tenant: TenantId,
    id: SubmissionId,
    kind: Kind,
    from: &'a ReversePath,
    facts: &'a Facts,
    size: i64,
    bound: Bound,
}

impl Delivery {
    /// Takes a message, or refuses it with a reason. When this returns `Ok`, journal, mailboxes, queue, ledger and log
    /// hold it durably (S59); when it returns an error, nothing but the log's entry does.
    ///
    /// # Errors
    /// [`Refused`], with whose fault it is.
    pub async fn accept(&self, submission: Submission) -> Result<Accepted, Refused> {
        let (origin, caller) = (submission.origin, submission.caller);
        match self.take(submission).await {
            Ok(accepted) => {
                self.inner.meters.accepted.one();
                Ok(accepted)
            }
            Err(refused) => {
                let refused = self.refused(&caller, origin, refused).await;
                let temporary = matches!(
                    refused.fault(),
                    sealpost_model::Fault::Temporary
                        | sealpost_model::Fault::Corrupt
                        | sealpost_model::Fault::Bug
                );
                let meters = &self.inner.meters;
                (if temporary { &meters.deferred } else { &meters.refused }).one();
                Err(refused)
            }
        }
    }

    /// Whether there is disk for new mail; without it senders are asked to come later, before they send.
    pub fn has_room(&self) -> bool {
        self.inner.store.reserve().room()
    }

    /// Puts a refusal into the log, and answers what its sender is told: what failed when even that can't be done.
    pub(crate) async fn refused(&self, caller: &Caller, origin: Origin, refused: Refused) -> Refused {
        let draft = self.inner.audit.draft(origin.tenant(), &caller.actor, &caller.client, Verb::Accept);
        let draft = match &refused {
            Refused::Policy(reason) => draft.refused().reason(reason.name()),
            Refused::Failed(e) => draft.failed().detail(e.to_string()),
        };
        match self.inner.audit.refusal(draft).await {
            Ok(_) => refused,
            Err(error) => error.into(),
        }
    }

    async fn take(&self, submission: Submission) -> Result<Accepted, Refused> {
        let ready = self.prepare(submission).await?;
        let (accepted, scope) = (ready.accepted(), ready.scope());
        self.inner.store.write(scope, move |tx| ready.insert(tx)).await?;
        Ok(accepted)
    }

    /// Decides and seals everything of a message, and writes nothing: [`Ready::insert`] does, in whichever
    /// transaction it belongs to. Dropped, it leaves nothing that a row names.
    pub(crate) async fn prepare(&self, submission: Submission) -> Result<Ready, Refused> {
        let Submission { caller, origin, kind, from, to, body, twin } = submission;
        let tenant = origin.tenant();
        let arrived = body.finish(self).await?;
        self.check_message(origin, &from, &arrived).await?;
        let sender = self.sender_account(origin, &from).await?;
        let Routes { planned, groups } = self.plan(origin, kind, &from, to, &arrived).await?;

        let now = self.inner.clock.now();
        let id: SubmissionId = self.inner.store.id();
        let keys = self.inner.keys.tenant(tenant).await?;
        let flags = match (kind, origin) {
            (Kind::Receipt, _) => Flags::RECEIPT,
            (_, Origin::Portal { .. }) => Flags::SECURE_REPLY,
            _ => Flags::NONE,
        };
        let mut entries = Vec::new();
        for p in &planned {
            if let (Rcpt::Here { account, .. }, [Method::Mailbox]) = (p.rcpt, &p.plan.methods[..]) {
                entries.push(
                    self.inner.mailboxes.seal_entry(&arrived.uploaded, account, None, flags, now).await?,
                );
            }
        }
        let twin = match twin {
            Some(bytes) => Some(self.upload_twin(tenant, &bytes).await?),
            None => None,
        };
        let kept = twin.as_ref().unwrap_or(&arrived);
        let journal = self
            .inner
            .archive
            .seal(NewJournal {
                tenant,
                submission: id,
                blob: kept.uploaded.id,
                key: &kept.uploaded.key,
                received: now,
                direction: direction(origin, &planned),
                envelope: &Envelope {
                    from: from.to_string(),
                    // A group stands before its members, as it was written to.
                    to: groups
                        .iter()
                        .map(|(address, _)| address)
                        .chain(planned.iter().map(|p| &p.address))
                        .map(Address::to_string)
                        .collect(),
                    sha256: kept.uploaded.sha256,
                    size: kept.uploaded.stored,
                },
            })
            .await?;
        let person = match origin {
            Origin::Submission { person, .. } => Some(person),
            _ => None,
        };
        let size = i64::try_from(arrived.uploaded.summary.structure.size).unwrap_or(i64::MAX);
        let body_id = arrived.uploaded.id;
        let bound = Bound { account: sender, person, kind: kind as i64, accepted: now, blob: body_id };
        let common =
            Common { keys: &keys, tenant, id, kind, from: &from, facts: &arrived.facts, size, bound };
        let rows: Vec<RecipientRow> = planned.iter().map(|p| self.seal_row(&common, p)).collect();
        let outgoing = if rows.iter().any(|r| r.queue.is_some()) {
            Some(self.seal_outgoing(&common, &arrived).await?)
        } else {
            None
        };

        let mut draft = self
            .inner
            .audit
            .draft(tenant, &caller.actor, &caller.client, Verb::Accept)
            .object(id)
            .object(journal.id)
            .objects(entries.iter().map(|e| e.id))
            .objects(rows.iter().map(|r| r.ledger))
            .objects(groups.iter().map(|(_, group)| *group));
        if let Some(account) = sender {
            draft = draft.owner(account);
        }
        let audit = self.inner.audit.seal(draft).await?;

        let (body, twin) = (arrived.uploaded.blob.clone(), twin.map(|t| t.uploaded.blob.clone()));
        Ok(Ready { tenant, id, kind, body, twin, journal, entries, bound, outgoing, rows, size, audit })
    }

    /// Authorship and loops, before anything is planned.
    async fn check_message(
        &self,
        origin: Origin,
        from: &ReversePath,
        arrived: &Arrived,
    ) -> Result<(), Refused> {
        if arrived.hops > sealpost_message::headers::MAX_HOPS {
            return Err(Reason::MailLoop.into());
        }
        if matches!(origin, Origin::Inbound { .. } | Origin::Portal { .. } | Origin::System { .. }) {
            return Ok(());
        }
        if arrived.from_fields != 1 || arrived.facts.from.is_empty() {
            return Err(Reason::FromFieldInvalid.into());
        }
        let person = match origin {
            Origin::Submission { person, .. } => person,
            Origin::Device { device, .. } => return self.check_device(device, from, arrived).await,
            _ => return Ok(()),
        };
        // S51: both the envelope's sender and each author belong to the person who signed in, or were granted to them.
        // Who writes on behalf of somebody says so in the Sender field.
        let named = !arrived.senders.is_empty();
        for sender in &arrived.senders {
            if let Some(reason) = self.inner.identity.may_send(person, sender).await?.refusal(false) {
                return Err(reason.into());
            }
        }
        for author in &arrived.facts.from {
            let author = Address::parse(author).map_err(|_| Reason::FromFieldInvalid)?;
            if let Some(reason) = self.inner.identity.may_send(person, &author).await?.refusal(named) {
                return Err(reason.into());
            }
        }
        match from.address() {
            Some(from) => match self.inner.identity.may_send(person, from).await?.refusal(true) {
                Some(reason) => Err(reason.into()),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// A machine writes as its one address, and not more often than it may.
    async fn check_device(
        &self,
        device: DeviceId,
        from: &ReversePath,
        arrived: &Arrived,
    ) -> Result<(), Refused> {
        let authors = arrived.facts.from.iter().map(|author| Address::parse(author));
        let authors: Vec<Address> =
            authors.collect::<Result<_, _>>().map_err(|_| Reason::FromFieldInvalid)?;
        let all: Vec<&Address> = authors.iter().chain(&arrived.senders).chain(from.address()).collect();
        match self.inner.identity.device_may_send(device, &all).await {
            Ok(()) => Ok(()),
            Err(sealpost_identity::Error::Denied(denied)) => Err(denied.reason.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The mailbox of whoever sends from here.
    async fn sender_account(&self, origin: Origin, from: &ReversePath) -> Result<Option<AccountId>, Refused> {
        match (origin, from.address()) {
            (Origin::Submission { .. } | Origin::Device { .. } | Origin::System { .. }, Some(from)) => {
                match self.resolve(Some(origin.tenant()), from).await {
                    Ok(Rcpt::Here { tenant, account }) if tenant == origin.tenant() => Ok(Some(account)),
                    Err(refused @ Refused::Failed(_)) => Err(refused),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    async fn plan(
        &self,
        origin: Origin,
        kind: Kind,
        from: &ReversePath,
        to: Vec<Address>,
        arrived: &Arrived,
    ) -> Result<Routes, Refused> {
        let tenant = origin.tenant();
        let signed_in = (!matches!(origin, Origin::Inbound { .. })).then_some(tenant);
        let domain = match from.address() {
            Some(from) => self.inner.identity.domain(from.domain()).await?,
            None => None,
        };
        // Whoever is not of a domain of ours (a recipient who replies) is held to what a HIPAA domain is held to.
        let domain = domain.map_or(DomainPolicy::HIPAA, |d| d.policy());
        let asked_pickup = arrived.facts.tags.pickup;
        let size = arrived.uploaded.stored.max(arrived.uploaded.summary.structure.size);
        let way = Way { origin, kind, domain, asked_pickup, size };
        let mut routes = Routes::default();
        for address in to {
            if routes.planned.iter().any(|p| p.address.same(&address)) {
                continue;
            }
            match self.resolve(signed_in, &address).await? {
                Rcpt::Group { tenant: theirs, group } if theirs == tenant => {
                    self.plan_group(way, address, group, &mut routes).await?;
                }
                rcpt => {
                    let plan = way.plan(rcpt)?;
                    routes.push(Planned { address, rcpt, plan, by_group: false });
                }
            }
        }
        Ok(routes)
    }

    /// The members of a group in place of it (S36): those here in this transaction, the others by the queue.
    async fn plan_group(
        &self,
        way: Way,
        address: Address,
        group: AddressId,
        routes: &mut Routes,
    ) -> Result<(), Refused> {
        if routes.groups.iter().any(|(_, known)| *known == group) {
            return Ok(());
        }
        // A receipt lives in one mailbox.
        if way.kind == Kind::Receipt {
            return Err(Reason::AddressRefused.into());
        }
        let (inside, person) = match way.origin {
            Origin::Submission { person, .. } => (true, Some(person)),
            Origin::Device { .. } | Origin::System { .. } => (true, None),
            Origin::Inbound { .. } | Origin::Portal { .. } => (false, None),
        };
        let tenant = way.origin.tenant();
        let unfolded = match self.inner.identity.unfold(tenant, group, inside, person).await {
            Ok(unfolded) => unfolded,
            Err(sealpost_identity::Error::Denied(denied)) => return Err(denied.reason.into()),
            Err(error) => return Err(error.into()),
        };
        if unfolded.here.is_empty() && unfolded.outside.is_empty() {
            return Err(Reason::AddressRefused.into());
        }
        routes.groups.push((address, group));
        for (address, account) in unfolded.here {
            let rcpt = Rcpt::Here { tenant, account };
            let mut plan = way.plan(rcpt)?;
            // One full mailbox keeps nobody else from their mail: its copy waits in the queue.
            if !self.inner.mailboxes.has_room(account, way.size).await? {
                plan.methods = vec![Method::Local];
            }
            routes.push(Planned { address, rcpt, plan, by_group: true });
        }
        for address in unfolded.outside {
            let rcpt = match self.inner.identity.resolve(&address).await? {
                Target::ForeignDomain => Rcpt::Elsewhere,
                Target::Mailbox(m) => Rcpt::Here { tenant: m.tenant, account: m.account },
                // A member that is gone in another organisation of this server.
                _ => continue,
            };
            let plan = match rcpt {
                Rcpt::Here { .. } => decide::plan(RecipientFacts::OtherTenant, way.domain, way.asked_pickup),
                rcpt => way.plan(rcpt)?,
            };
            routes.push(Planned { address, rcpt, plan, by_group: true });
        }
        Ok(())
    }

    fn seal_row(&self, common: &Common<'_>, planned: &Planned) -> RecipientRow {
        let Common { keys, tenant, id, kind, from, facts, size, bound } = *common;
        let Plan { methods, floor, reason } = &planned.plan;
        let ledger: LedgerId = self.inner.store.id();
        let detail = Detail {
            recipient: planned.address.to_string(),
            sender: from.to_string(),
            message_id: facts.message_id.clone(),
            evidence: Evidence::default(),
        };
        let method = methods.first().copied().unwrap_or(Method::Pickup);
        let queue = (method != Method::Mailbox).then(|| {
            let row = Claimed {
                id: self.inner.store.id(),
                tenant,
                submission: id,
                ledger,
                kind,
                method,
                pickup: methods.contains(&Method::Pickup),
                floor: *floor,
                reason: *reason,
                attempt: 0,
                mac: Vec::new(),
            };
            QueueRow { id: row.id, pickup: row.pickup, floor: row.floor, mac: marks::queue(keys, &row) }
        });
        let state = if queue.is_some() { State::Queued } else { State::Delivered };
        let marks = Marks {
            id: ledger,
            submission: id,
            account: bound.account,
            kind: bound.kind,
            method: method as i64,
            state: state as i64,
            reason: reason.name().to_owned(),
            grade: None,
            size,
            created: bound.accepted,
            updated: bound.accepted,
        };
        let (detail, mac) = (detail.seal(keys, tenant, ledger), marks.mac(keys));
        RecipientRow { ledger, method, state, reason: *reason, detail, mac, queue }
    }

    async fn seal_outgoing(&self, common: &Common<'_>, arrived: &Arrived) -> Result<Outgoing, Refused> {
        let Common { keys, tenant, id, from, bound, .. } = *common;
        let (life, life_key) = self.inner.keys.ring().create_key().await.map_err(Error::from)?;
        let random = &self.inner.random;
        let plain = |value: Result<Vec<u8>, postcard::Error>| value.expect("plain data is always written");
        let detail = SubmissionDetail { from: from.to_string(), facts: arrived.facts.clone() };
        let summary = plain(postcard::to_allocvec(&*arrived.uploaded.summary));
        let aad = |column| submission_aad(tenant, id, column);
        Ok(Outgoing {
            life,
            wrapped: life_key.wrap(random, &aad("wrapped"), &arrived.uploaded.key),
            summary: life_key.seal(random, &aad("summary"), &summary),
            detail: keys.seal(Root::Content, &bound.aad(tenant, id), &plain(postcard::to_allocvec(&detail))),
        })
    }

    async fn upload_twin(&self, tenant: TenantId, bytes: &[u8]) -> Result<Arrived, Refused> {
        let mut body = self.begin(Arrival {
            origin: Origin::System { tenant },
            trace: String::new(),
            return_path: String::new(),
        });
        body.write(bytes).await?;
        body.finish(self).await
    }
}

impl Way {
    /// How one recipient is reached.
    fn plan(self, rcpt: Rcpt) -> Result<Plan, Refused> {
        let Self { origin, kind, domain, asked_pickup, .. } = self;
        let tenant = origin.tenant();
        Ok(match rcpt {
            Rcpt::Here { tenant: theirs, .. } if theirs == tenant => {
                decide::plan(RecipientFacts::SameTenant, domain, asked_pickup)
            }
            // An envelope from outside for two tenants was refused at RCPT.
            Rcpt::Here { .. } | Rcpt::Group { .. } if matches!(origin, Origin::Inbound { .. }) => {
                return Err(Reason::OtherTenant.into());
            }
            Rcpt::Here { .. } | Rcpt::Group { .. } => {
                decide::plan(RecipientFacts::OtherTenant, domain, asked_pickup)
            }
            Rcpt::Command { .. } => {
                Plan { methods: vec![Method::Command], floor: Grade::Dane, reason: Reason::Owner }
            }
            Rcpt::Elsewhere if matches!(kind, Kind::Notice | Kind::Dsn) => {
                let floor = decide::notice_floor();
                Plan { methods: vec![Method::Smtp], floor, reason: Reason::VerifiableTransport }
            }
            // A receipt lives in the sender's mailbox only.
            Rcpt::Elsewhere if kind == Kind::Receipt => return Err(Reason::AddressRefused.into()),
            Rcpt::Elsewhere => decide::plan(RecipientFacts::Outside, domain, asked_pickup),
        })
    }
}

fn direction(origin: Origin, planned: &[Planned]) -> Direction {
    match origin {
        Origin::Inbound { .. } | Origin::Portal { .. } => Direction::Inbound,
        _ if planned.iter().all(|p| p.plan.methods == [Method::Mailbox]) => Direction::Internal,
        _ => Direction::Outbound,
    }
}

pub(crate) fn submission_aad(tenant: TenantId, id: SubmissionId, column: &'static str) -> Aad {
    Aad::new(tenant, "submission", id.raw(), column)
}
