//! A whole clinic on a throw-away disk: store, keys, people, delivery with its worker, pickup. The outside world is a
//! courier that keeps notices and can't be trusted with anything else.

#![allow(dead_code, reason = "each test uses a part of the stage")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_archive::Archive;
use sealpost_audit::{Audit, Caller};
use sealpost_crypto::Random;
use sealpost_delivery::{
    Arrival, Batch, Courier, Couriers, Delivery, Evidence, Future, Kind, Origin, Outcome, Submission,
};
use sealpost_identity::{Attempt, Identity, Login, NewPerson, insert_person};
use sealpost_mailbox::{Mailboxes, insert_account};
use sealpost_model::{
    Actor, Address, Client, Clock as _, Domain, Flags, ManualClock, PersonId, Protocol, QueueId, ReversePath,
    Secret, SharedClock, TenantId, Time,
};
use sealpost_pickup::{Link, Pickup, Sender};
use sealpost_policy::{Grade, Method, Reason, Right, Role};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store};

pub struct Stage {
    pub clock: Arc<ManualClock>,
    pub store: Store,
    pub keys: Keys,
    pub audit: Audit,
    pub identity: Identity,
    pub mailboxes: Mailboxes,
    pub delivery: Delivery,
    pub pickup: Pickup,
    pub random: Random,
    pub tenant: TenantId,
    pub alice: Login,
    pub bob: Login,
    pub outside: Outside,
    pub folder: tempfile::TempDir,
    worker: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// The notices that left for the outside: recipient and bytes.
#[derive(Clone, Default)]
pub struct Outside(Arc<Mutex<Vec<Left>>>);

type Left = (String, Vec<u8>);

impl Courier for Outside {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            let notice = batch.kind == Kind::Notice;
            let bytes = batch.message.read(0..u64::MAX).await.expect("readable");
            let mut out = Vec::new();
            for job in &batch.jobs {
                let outcome = if notice && job.recipient.local() == "nobody" {
                    Outcome::Rejected { reason: Reason::RecipientRejected, evidence: Evidence::default() }
                } else if notice {
                    self.0.lock().expect("whole").push((job.recipient.to_string(), bytes.clone()));
                    Outcome::Delivered { grade: Grade::Clear, evidence: Evidence::default() }
                } else {
                    Outcome::Unfit { reason: Reason::TransportBelowFloor, evidence: Evidence::default() }
                };
                out.push((job.id, outcome));
            }
            out
        })
    }
}

/// Hands each batch over twice, as a worker does that died before it could note the first outcome.
struct Twice(Pickup);

impl Courier for Twice {
    fn carry<'a>(&'a self, batch: &'a Batch) -> Future<'a, Vec<(QueueId, Outcome)>> {
        Box::pin(async move {
            self.0.carry(batch).await;
            self.0.carry(batch).await
        })
    }
}

impl Outside {
    /// The notices for this address, oldest first.
    pub fn notices(&self, to: &str) -> Vec<String> {
        let all = self.0.lock().expect("whole");
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("ASCII");
        all.iter().filter(|(r, _)| r == to).map(|(_, bytes)| text(bytes)).collect()
    }

    /// The link of the newest notice for this address.
    pub fn link(&self, to: &str) -> Link {
        let text = self.notices(to).pop().expect("a notice");
        let at = text.find("/pickup/").expect("a link") + "/pickup/".len();
        Link::parse(&text[at..at + 26]).expect("a token")
    }
}

pub const START: Time = Time::from_seconds(1_795_300_800);
pub const ALICE: &str = "alice@clinic.test";
pub const PASSWORD: &str = "violet otter parks seven trams";
pub const URL: &str = "https://localhost:2443";

impl Stage {
    pub async fn new() -> Self {
        Self::with(false).await
    }

    pub async fn with(always_ask: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(START));
        let shared: SharedClock = clock.clone();
        let random = Random::system();
        let master = Master::create_file(&folder.path().join("master"), &random).expect("a master key");
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("a ring");
        let store = Store::open(
            sealpost_store::Options {
                rehearse: true,
                ..sealpost_store::Options::embedded(
                    folder.path().join("data"),
                    shared.clone(),
                    random.clone(),
                )
            },
            &[
                &sealpost_audit::SCHEMA,
                &sealpost_identity::SCHEMA,
                &sealpost_archive::SCHEMA,
                &sealpost_mailbox::SCHEMA,
                &sealpost_delivery::SCHEMA,
                &sealpost_pickup::SCHEMA,
            ],
        )
        .expect("a store");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("keys");
        let audit_options = sealpost_audit::Options::default();
        let audit = Audit::new(store.clone(), keys.clone(), shared.clone(), random.clone(), audit_options)
            .await
            .expect("a log");
        let options = sealpost_identity::Options::default();
        let identity = Identity::new(
            store.clone(),
            keys.clone(),
            audit.clone(),
            shared.clone(),
            random.clone(),
            options,
        );
        let mailboxes =
            Mailboxes::new(store.clone(), keys.clone(), audit.clone(), shared.clone(), random.clone());
        let delivery = Delivery::new(
            sealpost_delivery::Ground {
                store: store.clone(),
                keys: keys.clone(),
                audit: audit.clone(),
                identity: identity.clone(),
                archive: Archive::new(store.clone(), keys.clone(), random.clone()),
                mailboxes: mailboxes.clone(),
                clock: shared.clone(),
                random: random.clone(),
            },
            sealpost_delivery::Options { hostname: "mail.clinic.test".into(), ..Default::default() },
        );
        let ground = sealpost_pickup::Ground {
            store: store.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            delivery: delivery.clone(),
            clock: shared.clone(),
            random: random.clone(),
        };
        let options = sealpost_pickup::Options { always_ask, ..sealpost_pickup::Options::new(URL) };
        let pickup = Pickup::new(ground, options);

        let by = Caller { actor: Actor::System, client: client() };
        let tenant = identity.create_tenant("Demo Clinic", &by).await.expect("a tenant");
        let domain = Domain::parse("clinic.test").expect("valid");
        identity.add_domain(tenant, &domain, true, &by).await.expect("a domain");
        for (address, name) in [(ALICE, "Alice Adams"), ("bob@clinic.test", "Bob Brown")] {
            add(&store, &identity, &mailboxes, tenant, address, name, &by).await;
        }
        let alice = login(&identity, ALICE).await;
        let bob = login(&identity, "bob@clinic.test").await;

        let outside = Outside::default();
        let couriers = Couriers::default()
            .with(Method::Smtp, Arc::new(outside.clone()))
            .with(Method::Pickup, Arc::new(Twice(pickup.clone())))
            .with(Method::Command, Arc::new(pickup.clone()));
        let running = delivery.clone();
        let worker = tokio::spawn(async move {
            running.run(couriers, std::future::pending()).await.expect("the worker runs");
        });
        Self {
            clock,
            store,
            keys,
            audit,
            identity,
            mailboxes,
            delivery,
            pickup,
            random,
            tenant,
            alice,
            bob,
            outside,
            folder,
            worker,
        }
    }

    /// Submits a message of alice.
    pub async fn send(&self, to: &[&str], raw: &str) {
        let person = self.alice.person;
        let origin = Origin::Submission { tenant: self.tenant, person };
        let mut body =
            self.delivery.begin(Arrival { origin, trace: String::new(), return_path: String::new() });
        body.write(raw.replace('\n', "\r\n").as_bytes()).await.expect("taken");
        let to = to.iter().map(|a| Address::parse(a).expect("valid")).collect();
        self.delivery
            .accept(Submission {
                caller: Caller { actor: self.alice.actor, client: client() },
                origin,
                kind: Kind::Message,
                from: ReversePath::From(Address::parse(ALICE).expect("valid")),
                to,
                body,
                twin: None,
            })
            .await
            .expect("accepted");
    }

    /// Sends a plain message to pat, waits for notice and receipt, and returns link and code.
    pub async fn wait_for_pat(&self, subject: &str) -> (Link, String) {
        let (before, seen) = (self.outside.notices(PAT).len(), self.inbox().await.len());
        self.send(&[PAT], &message(&format!("Subject: {subject}\nTo: {PAT}"), "Your results are fine.\n"))
            .await;
        self.until(async || self.outside.notices(PAT).len() > before && self.inbox().await.len() > seen)
            .await;
        let receipt = self.inbox().await.pop().expect("a receipt");
        (self.outside.link(PAT), code_in(&receipt.1))
    }

    /// Awaits something that the worker will do.
    pub async fn until(&self, done: impl AsyncFn() -> bool) {
        let wait = async {
            while !done().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it should have happened by now");
    }

    /// Alice's inbox: flags and text of each message, oldest first.
    pub async fn inbox(&self) -> Vec<(Flags, String)> {
        let account = self.alice.account.expect("a mailbox");
        let access = self.identity.mailbox(&self.alice, account, Right::Read).await.expect("hers");
        let caller = sealpost_mailbox::Caller { access, client: client() };
        let folders = self.mailboxes.folders(&caller).await.expect("folders");
        let inbox = folders.iter().find(|f| f.name == "INBOX").expect("an inbox");
        let view = self.mailboxes.open(&caller, inbox.id).await.expect("a view");
        let mut out = Vec::new();
        for entry in &view.entries {
            let bytes = self.mailboxes.read(&caller, entry.id, None).await.expect("readable");
            out.push((entry.flags, String::from_utf8(bytes).expect("ASCII")));
        }
        out
    }

    pub fn sender(&self) -> Sender {
        sender(&self.alice)
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }
}

pub fn sender(login: &Login) -> Sender {
    let caller = Caller { actor: login.actor, client: client() };
    Sender { caller, tenant: login.tenant, account: login.account.expect("a mailbox") }
}

pub const PAT: &str = "pat@outside.example";

/// A message of alice with more header lines.
pub fn message(head: &str, body: &str) -> String {
    format!(
        "From: Alice Adams <{ALICE}>\n{head}\nMessage-ID: <m{}@clinic.test>\nMIME-Version: 1.0\n\n{body}",
        head.len()
    )
}

/// The six digits that a receipt or an answer shows.
pub fn code_in(receipt: &str) -> String {
    let at = receipt.to_ascii_lowercase().find("code: ").expect("a code") + "code: ".len();
    receipt[at..at + 6].to_owned()
}

pub fn client() -> Client {
    client_at([127, 0, 0, 1])
}

pub fn client_at(ip: [u8; 4]) -> Client {
    Client { ip: ip.into(), port: 1, protocol: Protocol::Portal, tls: None }
}

async fn add(
    store: &Store,
    identity: &Identity,
    mailboxes: &Mailboxes,
    tenant: TenantId,
    address: &str,
    name: &str,
    by: &Caller,
) -> PersonId {
    let account = store.id();
    let new = NewPerson {
        tenant,
        address: Address::parse(address).expect("valid"),
        name: name.into(),
        password: Secret::new(PASSWORD.to_owned()),
        roles: [Role::User].into_iter().collect(),
        account: Some(account),
    };
    let row = identity.prepare_person(new, by).await.expect("a person");
    let person = row.person();
    let mailbox = mailboxes.new_account(account, tenant, person, 1 << 30).await.expect("a mailbox");
    store
        .write(Scope::account(account), move |tx| {
            insert_account(tx, &mailbox)?;
            insert_person(tx, &row)
        })
        .await
        .expect("written");
    identity.changed();
    person
}

async fn login(identity: &Identity, address: &str) -> Login {
    let attempt =
        Attempt { login: address.to_owned(), password: Secret::new(PASSWORD.to_owned()), client: &client() };
    identity.authenticate(attempt).await.expect("signs in")
}
