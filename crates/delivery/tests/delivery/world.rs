//! Two organisations on one server: a clinic with Ann, Bob and Dan, whose mailbox is tiny, and a lab with Carl.

use std::sync::{Arc, Mutex};

use sealpost_archive::{Archive, Envelope, JournalRow, journal};
use sealpost_audit::{Audit, Caller, Filter, Record, Verb};
use sealpost_crypto::{Key, Random};
use sealpost_delivery::{
    Accepted, Arrival, Batch, Courier, Couriers, Delivery, Future, Ground, Job, Kind, LedgerRow, Options,
    Origin, Outcome, Refused, Submission,
};
use sealpost_identity::{Identity, NewPerson};
use sealpost_mailbox::{Entry, Mailboxes};
use sealpost_model::{
    AccountId, Actor, Address, Client, Domain, Id, JournalId, ManualClock, PersonId, Protocol, QueueId,
    ReversePath, Secret, SharedClock, SubmissionId, TenantId, Time,
};
use sealpost_policy::{Method, Right, Role, Roles, decide};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store, params, sql};

sql! {
    ROWS = "SELECT (SELECT COUNT(*) FROM blob), (SELECT COUNT(*) FROM journal), (SELECT COUNT(*) FROM entry),
        (SELECT COUNT(*) FROM content), (SELECT COUNT(*) FROM submission), (SELECT COUNT(*) FROM ledger),
        (SELECT COUNT(*) FROM queue)";
    HANDED = "SELECT COUNT(*) FROM handed";
    QUEUE = "SELECT state, node, attempt FROM queue ORDER BY id";
    BUSY = "SELECT COUNT(*) FROM queue WHERE state = 1 OR due <= ?1";
}

/// The most bytes of a message.
pub const LIMIT: u64 = 400 << 10;

/// When every world begins.
pub const START: i64 = 1_795_300_822;

#[derive(Clone, Copy)]
pub struct Person {
    pub address: &'static str,
    pub tenant: TenantId,
    pub id: PersonId,
    pub account: AccountId,
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub people: Vec<Person>,
    pub store: Store,
    pub keys: Keys,
    pub audit: Audit,
    pub identity: Identity,
    pub archive: Archive,
    pub mailboxes: Mailboxes,
    pub delivery: Delivery,
}

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub fn client(protocol: Protocol) -> Client {
    Client { ip: "192.0.2.77".parse().expect("an ip"), port: 50_000, protocol, tls: None }
}

/// A letter from Ann.
pub fn letter(to: &str) -> String {
    format!(
        "From: Ann <ann@clinic.test>\r\nTo: {to}\r\nSubject: Results of Mrs Doe\r\n\
         Date: Sat, 21 Nov 2026 22:40:22 +0000\r\nMessage-ID: <letter@clinic.test>\r\n\r\nThe potassium is fine.\r\n"
    )
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(START)));
        let mut world = Self::start(folder, clock, Vec::new(), true).await;
        let by = Caller::SYSTEM;
        for (name, domain) in [("Demo Clinic", "clinic.test"), ("Lab", "lab.test")] {
            let tenant = world.identity.create_tenant(name, &by).await.expect("makes a tenant");
            let domain = Domain::parse(domain).expect("a domain");
            world.identity.add_domain(tenant, &domain, true, &by).await.expect("adds a domain");
        }
        for (at, quota) in [
            ("ann@clinic.test", 1 << 40),
            ("bob@clinic.test", 1 << 40),
            ("dan@clinic.test", 300),
            ("carl@lab.test", 900),
        ] {
            world.add(at, quota).await;
        }
        world
    }

    /// Opens what lies in the folder, as a starting process does.
    pub async fn start(
        folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
        people: Vec<Person>,
        new: bool,
    ) -> Self {
        let random = Random::system();
        let data = folder.path().join("data");
        let options = sealpost_store::Options {
            rehearse: true,
            ..sealpost_store::Options::embedded(data, clock.clone(), random.clone())
        };
        let schemas = [
            &sealpost_audit::SCHEMA,
            &sealpost_identity::SCHEMA,
            &sealpost_archive::SCHEMA,
            &sealpost_mailbox::SCHEMA,
            &sealpost_delivery::SCHEMA,
        ];
        let store = Store::open(options, &schemas).expect("opens");
        let (master, place) = (Master::new(Key::from_bytes([7; 32])), folder.path().join("ring"));
        let keys = if new {
            let ring = Ring::create(&place, &master, &random).expect("makes a ring");
            Keys::create(store.clone(), ring, &master).await.expect("makes keys")
        } else {
            let ring = Ring::open(&place, &master, &random).expect("opens the ring");
            Keys::open(store.clone(), ring, &master).await.expect("opens the keys")
        };
        let shared: SharedClock = clock.clone();
        let options = sealpost_audit::Options::default();
        let audit = Audit::new(store.clone(), keys.clone(), shared.clone(), random.clone(), options);
        let audit = audit.await.expect("starts");
        let options = sealpost_identity::Options::default();
        let identity = Identity::new(
            store.clone(),
            keys.clone(),
            audit.clone(),
            shared.clone(),
            random.clone(),
            options,
        );
        let archive = Archive::new(store.clone(), keys.clone(), random.clone());
        let mailboxes =
            Mailboxes::new(store.clone(), keys.clone(), audit.clone(), shared.clone(), random.clone());
        let ground = Ground {
            store: store.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            identity: identity.clone(),
            archive: archive.clone(),
            mailboxes: mailboxes.clone(),
            clock: shared,
            random,
        };
        let options =
            Options { hostname: "mail.clinic.test".into(), message_size: LIMIT, ..Options::default() };
        let delivery = Delivery::new(ground, options);
        Self { folder, clock, people, store, keys, audit, identity, archive, mailboxes, delivery }
    }

    /// Ends, and leaves what lies on the disk.
    pub fn close(self) -> tempfile::TempDir {
        let Self { folder, .. } = self;
        folder
    }

    async fn add(&mut self, at: &'static str, quota: i64) {
        let domain = address(at).domain().clone();
        let tenants = self.identity.tenants().await.expect("lists");
        let mut tenant = tenants[0];
        for t in tenants {
            let domains = self.identity.domains(t).await.expect("lists");
            if domains.iter().any(|(d, _)| *d == domain) {
                tenant = t;
            }
        }
        let account: AccountId = self.store.id();
        let new = NewPerson {
            tenant,
            address: address(at),
            name: "Somebody Important".into(),
            password: Secret::new("plum orbit kettle ninety".to_owned()),
            roles: Roles::NONE.with(Role::User),
            account: Some(account),
        };
        let row = self.identity.prepare_person(new, &Caller::SYSTEM).await.expect("is prepared");
        let id = row.person();
        let mailbox = self.mailboxes.new_account(account, tenant, id, quota).await.expect("seals");
        self.store
            .write(Scope::account(account), move |tx| {
                sealpost_identity::insert_person(tx, &row)?;
                sealpost_mailbox::insert_account(tx, &mailbox)?;
                Ok::<_, sealpost_identity::Error>(())
            })
            .await
            .expect("is written");
        self.identity.changed();
        self.people.push(Person { address: at, tenant, id, account });
    }

    pub fn person(&self, name: &str) -> Person {
        *self.people.iter().find(|p| p.address.starts_with(name)).expect("is known")
    }

    pub fn clinic(&self) -> TenantId {
        self.person("ann").tenant
    }

    pub fn submission(&self, who: Person, from: &str, to: &[&str], message: &str) -> (Submission, Vec<u8>) {
        let origin = Origin::Submission { tenant: who.tenant, person: who.id };
        let actor = Actor::Person { tenant: who.tenant, person: who.id };
        let from = if from.is_empty() { ReversePath::Null } else { ReversePath::From(address(from)) };
        let body = self.delivery.begin(Arrival {
            origin,
            trace: "Received: by mail.clinic.test\r\n".into(),
            return_path: from.to_string(),
        });
        let caller = Caller { actor, client: client(Protocol::Submission) };
        let to = to.iter().map(|to| address(to)).collect();
        (Submission { caller, origin, kind: Kind::Message, from, to, body, twin: None }, message.into())
    }

    pub async fn take(&self, (mut s, message): (Submission, Vec<u8>)) -> Result<Accepted, Refused> {
        s.body.write(&message).await?;
        self.delivery.accept(s).await
    }

    /// Ann sends something under her own address.
    pub async fn send(&self, to: &[&str], message: &str) -> Result<Accepted, Refused> {
        let ann = self.person("ann");
        self.take(self.submission(ann, ann.address, to, message)).await
    }

    /// Mail from outside, for people of the clinic.
    pub fn arriving(&self, from: &str, to: &[&str], message: &str) -> (Submission, Vec<u8>) {
        let origin = Origin::Inbound { tenant: self.clinic() };
        let caller = Caller { actor: Actor::Stranger, client: client(Protocol::Smtp) };
        let from = if from.is_empty() { ReversePath::Null } else { ReversePath::From(address(from)) };
        let body = self.delivery.begin(Arrival {
            origin,
            trace: "Received: from outside\r\n".into(),
            return_path: from.to_string(),
        });
        let to = to.iter().map(|to| address(to)).collect();
        (Submission { caller, origin, kind: Kind::Message, from, to, body, twin: None }, message.into())
    }

    /// What the server itself writes.
    pub async fn own(&self, kind: Kind, from: &str, to: &str, message: &str) -> Result<Accepted, Refused> {
        let origin = Origin::System { tenant: self.clinic() };
        let from = if from.is_empty() { ReversePath::Null } else { ReversePath::From(address(from)) };
        let body = self.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        let to = vec![address(to)];
        let s = Submission { caller: Caller::SYSTEM, origin, kind, from, to, body, twin: None };
        self.take((s, message.into())).await
    }

    /// How many rows there are: bodies, journal, entries, contents, messages on their way, ledger, queue.
    pub fn rows(&self) -> [i64; 7] {
        let read = |tx: &sealpost_store::ReadTx| {
            tx.row(&ROWS, params![], |r| {
                let mut n = [0; 7];
                for (i, n) in n.iter_mut().enumerate() {
                    *n = r.int(i)?;
                }
                Ok(n)
            })
        };
        let rows: sealpost_store::Result<_> = self.store.read_blocking(read);
        rows.expect("reads").expect("counts")
    }

    /// Messages that another organisation here took and that are not settled.
    pub fn handed(&self) -> i64 {
        let read = |tx: &sealpost_store::ReadTx| tx.row(&HANDED, params![], |r| r.int(0));
        let count: sealpost_store::Result<_> = self.store.read_blocking(read);
        count.expect("reads").expect("counts")
    }

    /// Somebody's inbox, each message as it is shown.
    pub async fn inbox(&self, name: &str) -> Vec<(Entry, String)> {
        let p = self.person(name);
        let facts = self.mailboxes.policy_facts(p.account).await.expect("reads");
        let actor = Actor::Person { tenant: p.tenant, person: p.id };
        let access = decide::mailbox(actor, &facts, Right::Read).expect("is the owner");
        let caller = sealpost_mailbox::Caller { access, client: client(Protocol::Imap) };
        let folder = self.mailboxes.facts(p.account).await.expect("reads").inbox;
        let mut out = Vec::new();
        for e in self.mailboxes.open(&caller, folder).await.expect("opens").entries {
            let bytes = self.mailboxes.read(&caller, e.id, None).await.expect("reads");
            out.push((e, String::from_utf8(bytes).expect("is text")));
        }
        out
    }

    /// The journal's rows, oldest first, each with its body as it is kept.
    pub async fn journal(&self) -> Vec<(JournalRow, Envelope, String)> {
        let rows =
            self.store.read(|tx| journal::page(tx, JournalId::from_raw(0), 1000)).await.expect("reads");
        let mut out = Vec::new();
        for row in rows {
            let (key, envelope) = self.archive.open(&row).await.expect("opens");
            let blob = row.blob;
            let located = self.store.read(move |tx| sealpost_store::blob::locate(tx, blob)).await;
            let located = located.expect("reads").expect("is there");
            let body = self.store.blobs().read(located, &key, 0..envelope.size).await.expect("opens");
            assert_eq!(sealpost_crypto::sha256(&body), envelope.sha256);
            out.push((row, envelope, String::from_utf8(body).expect("is text")));
        }
        out
    }

    /// A tenant's ledger, oldest first.
    pub async fn ledger(&self, tenant: TenantId) -> Vec<LedgerRow> {
        let mut rows = self.delivery.ledger(tenant, None, 1000).await.expect("reads");
        rows.reverse();
        rows
    }

    /// The recipients' rows of one message.
    pub async fn of(&self, id: SubmissionId) -> Vec<LedgerRow> {
        let tenant = self.clinic();
        self.ledger(tenant).await.into_iter().filter(|r| r.submission == id).collect()
    }

    pub async fn log(&self, tenant: TenantId, verb: Verb) -> Vec<Record> {
        let filter = Filter { verb: Some(verb), limit: 1000, ..Filter::default() };
        let roles = Roles::NONE.with(Role::Auditor);
        let mut records =
            self.audit.list(&Caller::SYSTEM, roles, tenant, &filter).await.expect("lists").records;
        records.reverse();
        records
    }

    pub fn attack(
        &self,
        change: impl Fn(&mut sealpost_store::Tx) -> sealpost_store::Result<()> + Send + 'static,
    ) {
        self.store.write_blocking(Scope::instance(), change).expect("the attack works");
    }

    /// State, node and attempt of each row of the queue.
    pub async fn queue_rows(&self) -> Vec<(i64, i64, i64)> {
        let read = |tx: &sealpost_store::ReadTx| {
            tx.rows(&QUEUE, params![], |r| Ok((r.int(0)?, r.int(1)?, r.int(2)?)))
        };
        self.store.read(read).await.map_err(|e: sealpost_store::Error| e).expect("reads")
    }

    /// Delivers until nothing is due and nothing is under way.
    pub async fn work(&self, couriers: &Couriers) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let quiet = async move {
            // A bound for what never ends: each look takes the store some real time, the pause between none.
            for _ in 0..300_000 {
                let now = sealpost_model::Clock::now(&*clock);
                let busy = store.read(move |tx| tx.row(&BUSY, params![now], |r| r.int(0)));
                let busy: sealpost_store::Result<_> = busy.await;
                if busy.expect("reads") == Some(0) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            panic!("the queue never comes to rest");
        };
        self.delivery.run(couriers.clone(), quiet).await.expect("works");
    }
}

/// What a courier was given.
#[derive(Clone, Debug)]
pub struct Seen {
    pub recipient: String,
    pub attempt: u32,
    pub kind: Kind,
    pub from: String,
    pub job: QueueId,
    pub floor: sealpost_policy::Grade,
    pub body: String,
}

type Verdict = Box<dyn Fn(&Job) -> Option<Outcome> + Send + Sync>;

/// A courier that does as it is told and remembers what it carried.
pub struct Scripted {
    verdict: Verdict,
    seen: Mutex<Vec<Seen>>,
}

impl Scripted {
    pub fn new(verdict: impl Fn(&Job) -> Option<Outcome> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { verdict: Box::new(verdict), seen: Mutex::default() })
    }

    /// What it carried since it was last asked.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("nobody panicked"))
    }

    pub fn as_smtp(self: &Arc<Self>) -> Couriers {
        Couriers::default().with(Method::Smtp, self.clone())
    }
}

impl Courier for Scripted {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let body = batch.message.read(0..batch.message.len()).await.expect("reads");
            let body = String::from_utf8(body).expect("is text");
            let mut outcomes = Vec::new();
            for job in &batch.jobs {
                self.seen.lock().expect("nobody panicked").push(Seen {
                    recipient: job.recipient.to_string(),
                    attempt: job.attempt,
                    kind: batch.kind,
                    from: batch.from.to_string(),
                    job: job.id,
                    floor: job.floor,
                    body: body.clone(),
                });
                outcomes.extend((self.verdict)(job).map(|outcome| (job.id, outcome)));
            }
            outcomes
        })
    }
}
