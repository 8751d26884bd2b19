//! A mailbox with everything under it, in memory but for the store: for dialogues with whole sessions.

use std::path::Path;
use std::sync::Arc;

use sealpost_audit::{Audit, Caller, Filter, Record};
use sealpost_crypto::{Key, Random};
use sealpost_identity::{Identity, NewPerson, insert_person};
use sealpost_mailbox::{Mailboxes, insert_account};
use sealpost_model::{
    AccountId, Address, Client, Domain, ManualClock, PersonId, Protocol, Secret, SharedClock, TenantId, Time,
    TlsFacts, TlsVersion,
};
use sealpost_net::{Hello, LocalCa, ServerTls, Stream, TlsClient, Verdict, trust_from_pem};
use sealpost_policy::{Rights, Role, Roles};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Everybody's password.
pub const PASSWORD: &str = "plum orbit kettle ninety";

/// One organisation with bob in it. Quota: 10 MB.
pub struct World {
    _folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub audit: Audit,
    pub identity: Identity,
    pub mailboxes: Mailboxes,
    pub store: Store,
    pub tenant: TenantId,
    pub bob: PersonId,
}

impl World {
    /// 1 February 2026, 12:00 UTC.
    pub const START: i64 = 1_769_947_200;

    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(Self::START)));
        let random = Random::system();
        let options = sealpost_store::Options {
            rehearse: true,
            ..sealpost_store::Options::embedded(folder.path().join("data"), clock.clone(), random.clone())
        };
        let schemas = [&sealpost_audit::SCHEMA, &sealpost_identity::SCHEMA, &sealpost_mailbox::SCHEMA];
        let store = Store::open(options, &schemas).expect("a store");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("keys");
        let audit = Audit::new(
            store.clone(),
            keys.clone(),
            clock.clone(),
            random.clone(),
            sealpost_audit::Options::default(),
        )
        .await
        .expect("a log");
        let identity = Identity::new(
            store.clone(),
            keys.clone(),
            audit.clone(),
            clock.clone(),
            random.clone(),
            sealpost_identity::Options::default(),
        );
        let mailboxes = Mailboxes::new(store.clone(), keys, audit.clone(), clock.clone(), random);
        let by = Caller::SYSTEM;
        let tenant = identity.create_tenant("Demo Clinic", &by).await.expect("a tenant");
        let domain = Domain::parse("clinic.test").expect("a domain");
        identity.add_domain(tenant, &domain, true, &by).await.expect("a domain");
        let account: AccountId = store.id();
        let new = NewPerson {
            tenant,
            address: Address::parse("bob@clinic.test").expect("an address"),
            name: "Bob Barker".into(),
            password: Secret::new(PASSWORD.to_owned()),
            roles: Roles::NONE.with(Role::User),
            account: Some(account),
        };
        let row = identity.prepare_person(new, &by).await.expect("a person");
        let bob = row.person();
        let mailbox = mailboxes.new_account(account, tenant, bob, 10 << 20).await.expect("a mailbox");
        store
            .write(Scope::account(account), move |tx| {
                insert_account(tx, &mailbox).expect("writes the mailbox");
                insert_person(tx, &row)
            })
            .await
            .expect("writes the person");
        identity.changed();
        Self { _folder: folder, clock, audit, identity, mailboxes, store, tenant, bob }
    }

    /// One more person, with a mailbox of 10 MB.
    pub async fn add(&self, at: &str) -> PersonId {
        let (by, account): (_, AccountId) = (Caller::SYSTEM, self.store.id());
        let new = NewPerson {
            tenant: self.tenant,
            address: Address::parse(at).expect("an address"),
            name: "Somebody Else".into(),
            password: Secret::new(PASSWORD.to_owned()),
            roles: Roles::NONE.with(Role::User),
            account: Some(account),
        };
        let row = self.identity.prepare_person(new, &by).await.expect("a person");
        let person = row.person();
        self.mailbox(account, Some(person)).await;
        let write = move |tx: &mut sealpost_store::Tx| insert_person(tx, &row);
        self.store.write(Scope::account(account), write).await.expect("writes the person");
        self.identity.changed();
        person
    }

    /// A mailbox that is nobody's own.
    pub async fn shared(&self, at: &str) -> AccountId {
        let account: AccountId = self.store.id();
        self.mailbox(account, None).await;
        let address = Address::parse(at).expect("an address");
        self.identity.add_shared(self.tenant, &address, account, &Caller::SYSTEM).await.expect("an address");
        account
    }

    async fn mailbox(&self, account: AccountId, owner: Option<PersonId>) {
        let mailbox =
            self.mailboxes.new_account(account, self.tenant, owner, 10 << 20).await.expect("a mailbox");
        let write = move |tx: &mut sealpost_store::Tx| insert_account(tx, &mailbox);
        self.store.write(Scope::account(account), write).await.expect("writes the mailbox");
    }

    /// Lets somebody into a mailbox.
    pub async fn grant(&self, mailbox: &str, person: &str, rights: Rights) {
        let [mailbox, person] = [mailbox, person].map(|a| Address::parse(a).expect("an address"));
        let made =
            self.identity.add_grant(self.tenant, &mailbox, &person, rights, None, &Caller::SYSTEM).await;
        assert!(made.expect("grants").waits().is_none());
    }

    /// A connection that seems to be encrypted, or not; the server's end and the client's.
    pub fn connect(&self, protocol: Protocol, encrypted: bool) -> (Stream, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let tls = TlsFacts { version: TlsVersion::V1_3, cipher: "TLS13_AES_256_GCM_SHA384" };
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let client = Client { ip, port: 40_000, protocol, tls: encrypted.then_some(tls) };
        (Stream::memory(theirs, client, None), ours)
    }

    /// A certificate for `localhost`, and a client that trusts it.
    pub fn tls(&self) -> (ServerTls, TlsClient) {
        let clock: SharedClock = self.clock.clone();
        let ca = LocalCa::create(&["localhost"], Time::from_seconds(Self::START))
            .expect("a certificate authority");
        let certificate = ca.server().expect("a certificate");
        let server = ServerTls::new(&certificate, TlsVersion::V1_2, &[], &clock).expect("a server");
        let client =
            TlsClient::new(&trust_from_pem(ca.ca.as_bytes()).expect("PEM"), &clock).expect("a client");
        (server, client)
    }

    /// A plain connection that can be upgraded.
    pub fn connect_starttls(&self, protocol: Protocol, tls: &ServerTls) -> (Stream, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        (Stream::memory(theirs, Client::local(protocol), Some(tls.clone())), ours)
    }

    /// The client's handshake; the certificate must verify.
    pub async fn secure(&self, wire: DuplexStream, client: &TlsClient) -> Stream {
        let mut stream = Stream::memory(wire, Client::local(Protocol::System), None);
        let (_, verdict) = stream.secure(client, &["localhost"], Hello::Large).await.expect("a handshake");
        assert!(matches!(verdict, Verdict::Verified { .. }), "{verdict:?}");
        stream
    }

    /// An administrator ends bob's access.
    pub async fn disable_bob(&self) {
        self.identity.disable(self.bob, &Caller::SYSTEM).await.expect("disables bob");
    }

    /// The entries of one verb in the tenant's log, newest last.
    pub async fn records(&self, verb: &str) -> Vec<Record> {
        self.audit.run(async {}).await;
        let roles = Roles::NONE.with(Role::Auditor);
        let filter = Filter { verb: sealpost_audit::Verb::parse(verb), limit: 1_000, ..Filter::default() };
        let page = self.audit.list(&Caller::SYSTEM, roles, self.tenant, &filter).await.expect("lists");
        page.records.into_iter().rev().collect()
    }

    /// The verbs in the tenant's log, newest last.
    pub async fn verbs(&self) -> Vec<String> {
        // One pass: it takes in what was read so far.
        self.audit.run(async {}).await;
        let roles = Roles::NONE.with(Role::Auditor);
        let page =
            self.audit.list(&Caller::SYSTEM, roles, self.tenant, &Filter::default()).await.expect("lists");
        let mut verbs: Vec<String> = page
            .records
            .iter()
            .map(|record| record.verb.map_or("?", |verb| verb.word()).to_owned())
            .collect();
        verbs.reverse();
        verbs
    }
}

/// Speaks dialogues: `C: ` and `S: ` lines, `C2: ` and `S2: ` for a second connection and so on. A connection opens
/// with its first line. `...` in what the server says stands for anything; `#` begins a remark. `C> ` lines are a
/// message: each gets its line end, one more follows the last, and `{#}` or `{#+}` in the command before them becomes
/// their size.
pub async fn speak(path: &Path, mut connect: impl AsyncFnMut(&str) -> DuplexStream) {
    let text = std::fs::read_to_string(path).expect("a dialogue can be read");
    let mut wires: Vec<(String, DuplexStream)> = Vec::new();
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    for (at, &(number, line)) in lines.iter().enumerate() {
        let place = format!("{} line {}", path.display(), number + 1);
        let (who, said) = line.split_once([':', '>']).expect(&place);
        let said = said.strip_prefix(' ').unwrap_or(said);
        let message = |line: &str| line.starts_with(&format!("{who}>"));
        let (side, name) = who.split_at(1);
        if !wires.iter().any(|(known, _)| known == name) {
            wires.push((name.to_owned(), connect(name).await));
        }
        let (_, wire) = wires.iter_mut().find(|(known, _)| known == name).expect("just opened");
        let rest = || lines.iter().skip(at + 1).map(|(_, line)| *line);
        let size: usize = rest()
            .skip_while(|line| !message(line))
            .take_while(|line| message(line))
            .map(|line| line.get(who.len() + 2..).unwrap_or_default().len() + 2)
            .sum();
        let said = said.replace("$PASSWORD", PASSWORD).replace("{#", &format!("{{{size}"));
        match side {
            "C" if message(line) => {
                let end = if rest().next().is_some_and(message) { "" } else { "\r\n" };
                wire.write_all(format!("{said}\r\n{end}").as_bytes()).await.expect(&place);
            }
            "C" => wire.write_all(format!("{said}\r\n").as_bytes()).await.expect(&place),
            "S" => {
                let heard = hear(wire).await;
                assert!(fits(&said, &heard), "{place}\n wanted {said}\n  heard {heard}");
            }
            // The connection is closed by the server.
            "E" => assert_eq!(hear(wire).await, "", "{place}: the connection should be over"),
            // The client hangs up.
            "X" => wires.retain(|(known, _)| known != name),
            _ => panic!("{place}: begins with neither C nor S"),
        }
    }
}

/// One line without its end; nothing at the end of the connection.
pub async fn hear(wire: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    let read = async {
        while !line.ends_with(b"\r\n") {
            match wire.read_u8().await {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(20), read).await.is_ok();
    let line = String::from_utf8_lossy(&line).into_owned();
    if in_time {
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        format!("{line} (and then silence)")
    }
}

/// Whether what was heard is what was wanted, `...` being anything.
fn fits(wanted: &str, heard: &str) -> bool {
    let mut pieces = wanted.split("...");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = heard.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}
