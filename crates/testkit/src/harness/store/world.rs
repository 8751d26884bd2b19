//! An organisation with mailboxes, without a socket.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use sealpost_archive::Archive;
use sealpost_audit::{Audit, Caller};
use sealpost_crypto::{Key, Random};
use sealpost_delivery::{Arrival, Delivery, Ground, Kind, Options, Origin, Submission};
use sealpost_identity::{Identity, NewPerson};
use sealpost_mailbox::{Mailboxes, View};
use sealpost_model::{
    AccountId, Actor, Address, Client, Domain, EntryId, FolderId, Id, PersonId, Protocol, ReversePath,
    Secret, SharedClock, SystemClock, TenantId,
};
use sealpost_policy::{Right, Role, Roles, decide};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store, params, sql};

use crate::{Database, Dice};

sql! {
    MESSAGES = "SELECT COUNT(*) FROM entry";
}

/// Where an instance lies.
pub(super) struct Place<'a> {
    pub(super) folder: PathBuf,
    pub(super) database: Option<&'a Database>,
}

#[derive(Clone, Copy)]
struct Mailbox {
    person: PersonId,
    account: AccountId,
    inbox: FolderId,
}

/// Everything below the protocols. Clones share it.
#[derive(Clone)]
pub(super) struct World {
    store: Store,
    pub(super) audit: Audit,
    mailboxes: Mailboxes,
    delivery: Delivery,
    pub(super) tenant: TenantId,
    people: Arc<[Mailbox]>,
}

const DOMAIN: &str = "clinic.test";

impl World {
    /// Makes an instance with so many mailboxes.
    pub(super) async fn create(place: &Place<'_>, people: u32) -> Result<Self> {
        let (mut world, identity) = Self::start(place, true).await?;
        let by = Caller::SYSTEM;
        world.tenant = identity.create_tenant("Demo Clinic", &by).await?;
        identity.add_domain(world.tenant, &Domain::parse(DOMAIN)?, true, &by).await?;
        let mut all = Vec::new();
        for number in 0..people {
            let account: AccountId = world.store.id();
            let new = NewPerson {
                tenant: world.tenant,
                address: Address::parse(&format!("p{number}@{DOMAIN}"))?,
                name: "Somebody".into(),
                password: Secret::new("plum orbit kettle ninety".to_owned()),
                roles: Roles::NONE.with(Role::User),
                account: Some(account),
            };
            let row = identity.prepare_person(new, &by).await?;
            let person = row.person();
            let mailbox = world.mailboxes.new_account(account, world.tenant, person, 1 << 50).await?;
            world
                .store
                .write(Scope::account(account), move |tx| {
                    sealpost_identity::insert_person(tx, &row)?;
                    sealpost_mailbox::insert_account(tx, &mailbox)?;
                    Ok::<_, sealpost_identity::Error>(())
                })
                .await?;
            let inbox = world.mailboxes.facts(account).await?.inbox;
            all.push(Mailbox { person, account, inbox });
        }
        identity.changed();
        world.people = all.into();
        Ok(world)
    }

    /// Opens one that is there; it delivers to nobody new.
    pub(super) async fn open_again(place: &Place<'_>) -> Result<Self> {
        let (mut world, identity) = Self::start(place, false).await?;
        world.tenant = identity.tenants().await?.first().copied().context("an organisation")?;
        Ok(world)
    }

    async fn start(place: &Place<'_>, new: bool) -> Result<(Self, Identity)> {
        let random = Random::system();
        let clock: SharedClock = Arc::new(SystemClock);
        std::fs::create_dir_all(&place.folder)?;
        let mut options =
            sealpost_store::Options::embedded(place.folder.join("data"), clock.clone(), random.clone());
        if let Some(database) = place.database {
            options.engine = sealpost_store::Engine::Postgres { url: Secret::new(database.url()?) };
        }
        let schemas = [
            &sealpost_audit::SCHEMA,
            &sealpost_identity::SCHEMA,
            &sealpost_archive::SCHEMA,
            &sealpost_mailbox::SCHEMA,
            &sealpost_delivery::SCHEMA,
        ];
        let store = Store::open(options, &schemas)?;
        let (master, ring) = (Master::new(Key::from_bytes([7; 32])), place.folder.join("ring"));
        let keys = if new {
            let ring = Ring::create(&ring, &master, &random)?;
            Keys::create(store.clone(), ring, &master).await?
        } else {
            let ring = Ring::open(&ring, &master, &random)?;
            Keys::open(store.clone(), ring, &master).await?
        };
        let options = sealpost_audit::Options::default();
        let audit = Audit::new(store.clone(), keys.clone(), clock.clone(), random.clone(), options).await?;
        let options = sealpost_identity::Options::default();
        let (c, r) = (clock.clone(), random.clone());
        let identity = Identity::new(store.clone(), keys.clone(), audit.clone(), c, r, options);
        let archive = Archive::new(store.clone(), keys.clone(), random.clone());
        let (c, r) = (clock.clone(), random.clone());
        let mailboxes = Mailboxes::new(store.clone(), keys.clone(), audit.clone(), c, r);
        let ground = Ground {
            store: store.clone(),
            keys,
            audit: audit.clone(),
            identity: identity.clone(),
            archive,
            mailboxes: mailboxes.clone(),
            clock,
            random,
        };
        let delivery = Delivery::new(ground, Options::default());
        let world =
            Self { store, audit, mailboxes, delivery, tenant: TenantId::from_raw(0), people: Arc::new([]) };
        Ok((world, identity))
    }

    /// Everything is on the disk, and closed.
    pub(super) async fn close(self) {
        let store = self.store.clone();
        drop(self);
        // Closing waits for threads.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    /// Mail from outside to one person, accepted. With nobody known, to `p0`.
    pub(super) async fn deliver(&self, person: usize, message: &[u8]) -> Result<()> {
        let to = Address::parse(&format!("p{}@{DOMAIN}", person % 64))?;
        let origin = Origin::Inbound { tenant: self.tenant };
        let caller = Caller { actor: Actor::Stranger, client: Client::local(Protocol::Smtp) };
        let mut body = self.delivery.begin(Arrival {
            origin,
            trace: "Received: from outside.example by localhost\r\n".into(),
            return_path: "sender@outside.example".into(),
        });
        for piece in message.chunks(64 << 10) {
            body.write(piece).await?;
        }
        let from = ReversePath::From(Address::parse("sender@outside.example")?);
        let to = vec![to];
        self.delivery
            .accept(Submission { caller, origin, kind: Kind::Message, from, to, body, twin: None })
            .await?;
        Ok(())
    }

    async fn caller(&self, person: usize) -> Result<(sealpost_mailbox::Caller, Mailbox)> {
        let mailbox = *self.people.get(person).context("a person")?;
        let facts = self.mailboxes.policy_facts(mailbox.account).await?;
        let actor = Actor::Person { tenant: self.tenant, person: mailbox.person };
        let access = decide::mailbox(actor, &facts, Right::Read).map_err(|d| anyhow::anyhow!("{d}"))?;
        Ok((sealpost_mailbox::Caller { access, client: Client::local(Protocol::Imap) }, mailbox))
    }

    /// Somebody's inbox, as SELECT opens it.
    pub(super) async fn open(&self, person: usize) -> Result<View> {
        let (caller, mailbox) = self.caller(person).await?;
        Ok(self.mailboxes.open(&caller, mailbox.inbox).await?)
    }

    /// A whole body; its length.
    pub(super) async fn read(&self, person: usize, id: EntryId) -> Result<usize> {
        let (caller, _) = self.caller(person).await?;
        Ok(self.mailboxes.read(&caller, id, None).await?.len())
    }

    /// What a list shows of some messages; how many there are.
    pub(super) async fn summaries(&self, person: usize, ids: &[EntryId]) -> Result<usize> {
        let (caller, _) = self.caller(person).await?;
        Ok(self.mailboxes.summaries(&caller, ids).await?.len())
    }

    /// How many messages came or changed since a MODSEQ.
    pub(super) async fn changes(&self, person: usize, since: i64) -> Result<usize> {
        let (caller, mailbox) = self.caller(person).await?;
        Ok(self.mailboxes.changes(&caller, mailbox.inbox, since).await?.changed.len())
    }

    /// All messages in all mailboxes.
    pub(super) async fn messages(&self) -> Result<u32> {
        let count = self.store.read(|tx| tx.row(&MESSAGES, params![], |r| r.int(0))).await;
        let count: Result<_, sealpost_store::Error> = count;
        Ok(u32::try_from(count?.unwrap_or(0))?)
    }
}

/// Words that compress about as mail does.
#[derive(Clone)]
pub(super) struct Text(Arc<String>);

impl Text {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let words: Vec<String> = (0..4_000)
            .map(|_| {
                let length = 2 + usize::try_from(dice.below(9)).unwrap_or(0);
                dice.word(length)
            })
            .collect();
        let mut text = String::with_capacity(3 << 20);
        let mut line = 0;
        while text.len() < 3 << 20 {
            let word = dice.pick(&words).map_or("x", String::as_str);
            line += word.len() + 1;
            text.push_str(word);
            if line > 66 {
                text.push_str("\r\n");
                line = 0;
            } else {
                text.push(' ');
            }
        }
        Self(Arc::new(text))
    }

    /// A message of about this length, like no other.
    pub(super) fn message(&self, writer: u32, at: usize, length: usize) -> Vec<u8> {
        let from = (writer as usize * 7_919 + at * 104_729) % (1 << 20);
        let head = format!(
            "From: Sender <sender@outside.example>\r\nTo: <somebody@{DOMAIN}>\r\nSubject: bench {writer} {at}\r\n\
             Message-ID: <{writer}.{at}.{length}.{}@bench.example>\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
            std::process::id()
        );
        let mut message = head.into_bytes();
        let body = length.saturating_sub(message.len());
        let text = self.0.as_bytes();
        // Whole lines, so that no line is longer than the standard allows.
        let from = text[from..].iter().position(|b| *b == b'\n').map_or(from, |n| from + n + 1);
        message.extend_from_slice(text.get(from..from + body).unwrap_or(text));
        message.extend_from_slice(b"\r\n");
        message
    }
}
