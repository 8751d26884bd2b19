//! A store in a folder of its own, one organisation, and mailboxes.

use std::path::Path;
use std::sync::Arc;

use sealpost_audit::{Audit, Filter, Record, Verb};
use sealpost_crypto::{Key, Random};
use sealpost_mailbox::{Caller, Entry, Error, Folder, Mailboxes};
use sealpost_model::{
    AccountId, Actor, Client, Flags, FolderId, Id, ManualClock, PersonId, Protocol, TenantId, Time,
};
use sealpost_policy::{Right, Role, Roles, decide};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Options, Scope, Store, params, sql};

sql! {
    USED = "SELECT used, modseq FROM account WHERE id = ?1";
}

/// A quota that nothing here reaches.
pub const ROOMY: i64 = 1 << 40;

pub struct World {
    pub folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub store: Store,
    pub keys: Keys,
    pub audit: Audit,
    pub mailboxes: Mailboxes,
    pub tenant: TenantId,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_795_300_822)));
        let random = Random::system();
        let data = folder.path().join("data");
        let options = Options { rehearse: true, ..Options::embedded(data, clock.clone(), random.clone()) };
        let store =
            Store::open(options, &[&sealpost_audit::SCHEMA, &sealpost_mailbox::SCHEMA]).expect("opens");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("makes a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("makes keys");
        let tenant = TenantId::from_raw(500);
        keys.create_tenant(tenant).await.expect("makes a tenant");
        let options = sealpost_audit::Options::default();
        let audit =
            Audit::new(store.clone(), keys.clone(), clock.clone(), random, options).await.expect("starts");
        let mailboxes = fresh(&store, &keys, &audit, &clock);
        Self { folder, clock, store, keys, audit, mailboxes, tenant }
    }

    /// A new mailbox of somebody new, as its owner sees it.
    pub async fn owner(&self, quota: i64) -> Caller {
        let (account, person): (AccountId, PersonId) = (self.store.id(), self.store.id());
        let new = self.mailboxes.new_account(account, self.tenant, person, quota).await.expect("seals");
        self.store
            .write(Scope::account(account), move |tx| sealpost_mailbox::insert_account(tx, &new))
            .await
            .expect("writes");
        self.caller(account, person, None, Right::Write).await.expect("is the owner")
    }

    pub async fn caller(
        &self,
        account: AccountId,
        person: PersonId,
        grant: Option<Right>,
        right: Right,
    ) -> Result<Caller, Error> {
        let mut facts = self.mailboxes.policy_facts(account).await?;
        facts.grant = grant;
        let access = decide::mailbox(Actor::Person { tenant: self.tenant, person }, &facts, right)?;
        let ip = "192.0.2.77".parse().expect("an address");
        Ok(Caller { access, client: Client { ip, port: 50_000, protocol: Protocol::Imap, tls: None } })
    }

    /// The service as another process would have it: nothing is in its memory.
    pub fn fresh(&self) -> Mailboxes {
        fresh(&self.store, &self.keys, &self.audit, &self.clock)
    }

    pub async fn put(
        &self,
        caller: &Caller,
        folder: FolderId,
        bytes: &[u8],
        flags: Flags,
    ) -> Result<u32, Error> {
        let mut upload = self.mailboxes.upload(self.tenant, 64 << 20);
        upload.write(bytes).await?;
        let received = Some(Time::from_seconds(1_700_000_000));
        self.mailboxes.append(caller, folder, upload, flags, received).await.map(|(_, uid)| uid)
    }

    pub async fn named(&self, caller: &Caller, name: &str) -> Option<Folder> {
        let folders = self.mailboxes.folders(caller).await.expect("lists");
        folders.into_iter().find(|f| f.name == name)
    }

    pub async fn inbox(&self, caller: &Caller) -> FolderId {
        self.named(caller, "INBOX").await.expect("has one").id
    }

    pub async fn entries(&self, caller: &Caller, folder: FolderId) -> Vec<Entry> {
        self.mailboxes.open(caller, folder).await.expect("opens").entries
    }

    /// What the account's row counts: bytes used, and its MODSEQ.
    pub async fn counts(&self, caller: &Caller) -> (i64, i64) {
        let account = caller.access.target();
        self.store
            .read(move |tx| tx.row(&USED, params![account], |r| Ok((r.int(0)?, r.int(1)?))))
            .await
            .expect("reads")
            .expect("is there")
    }

    /// The entries of the log with this verb, oldest first.
    pub async fn log(&self, verb: Verb) -> Vec<Record> {
        let filter = Filter { verb: Some(verb), limit: 1000, ..Filter::default() };
        let roles = Roles::NONE.with(Role::Auditor);
        let caller = sealpost_audit::Caller::SYSTEM;
        let mut records = self.audit.list(&caller, roles, self.tenant, &filter).await.expect("lists").records;
        records.reverse();
        records
    }

    pub fn attack(
        &self,
        change: impl Fn(&mut sealpost_store::Tx) -> sealpost_store::Result<()> + Send + 'static,
    ) {
        self.store.write_blocking(Scope::instance(), change).expect("the attack works");
    }

    /// Whether the bytes stand anywhere in the data folder.
    pub fn on_disk(&self, needle: &[u8]) -> bool {
        holds(&self.folder.path().join("data"), needle)
    }
}

fn fresh(store: &Store, keys: &Keys, audit: &Audit, clock: &Arc<ManualClock>) -> Mailboxes {
    Mailboxes::new(store.clone(), keys.clone(), audit.clone(), clock.clone(), Random::system())
}

fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("lists").any(|file| {
        let path = file.expect("is there").path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = std::fs::read(path).expect("reads");
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}
