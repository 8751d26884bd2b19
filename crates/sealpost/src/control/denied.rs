//! Denied by default (S38, S115): each command of the control socket with the roles that may run it. Every other role tries
//! it, and is refused with one entry in the log. A command that is not listed here fails the test; the exceptions, what
//! can be run without a personal sign-in, may only shrink.
//!
//! The routes of the web are held the same way by `crates/web/tests/table.rs`.

use std::collections::BTreeSet;

use clap::{FromArgMatches as _, Subcommand as _};
use sealpost_audit::{Filter, Outcome};
use sealpost_model::Domain;

use super::client::Command;
use super::*;
use crate::instance::Opened;
use crate::people::{self, NewUser};

const PASSWORD: &str = "plum orbit kettle ninety";

/// Each command, as it is typed, with who may: `o` operator, `a` tenant admin, `s` security official, `r` auditor.
/// Nobody else may do anything, and nobody but the operator without a personal sign-in.
const TABLE: &[(&str, &str)] = &[
    ("status", "oasr"),
    ("user list", "asr"),
    ("user add new@clinic.test --password-stdin", "as"),
    ("user password alice@clinic.test --password-stdin", "as"),
    ("user disable alice@clinic.test", "as"),
    ("user app-password alice@clinic.test Phone", "as"),
    ("user setup-link alice@clinic.test", "oas"),
    ("domain list", "asr"),
    ("domain add new.test", "as"),
    ("queue list", "oasr"),
    ("queue retry 1", "oas"),
    ("queue held", "oasr"),
    ("queue release", "as"),
    ("pickup list", "oasr"),
    ("pickup expire 1 --reason x", "as"),
    ("address list", "asr"),
    ("address add other@clinic.test --refuse", "as"),
    ("address remove alias@clinic.test", "as"),
    ("address move alias@clinic.test --to alice@clinic.test", "as"),
    ("group list", "asr"),
    ("group members group@clinic.test", "asr"),
    ("group add more@clinic.test", "as"),
    ("group change group@clinic.test --posting anyone", "as"),
    ("group remove group@clinic.test", "as"),
    ("grant list", "asr"),
    ("grant add front@clinic.test alice@clinic.test --right write", "as"),
    ("grant remove front@clinic.test user@clinic.test", "as"),
    ("role give alice@clinic.test delegate", "as"),
    ("role take alice@clinic.test delegate", "as"),
    ("role official security-official@clinic.test --rank 1 --contact 555-0100", "as"),
    ("role review", "asr"),
    ("session list alice@clinic.test", "asr"),
    ("session end alice@clinic.test --all", "as"),
    ("session alerts alice@clinic.test off", "as"),
    ("session open", "asr"),
    ("act list", "asr"),
    ("act approve 1", "as"),
    ("act refuse 1", "as"),
    ("policy list", "asr"),
    ("policy set outside-members on", "s"),
    ("ban list", "oasr"),
    ("ban lift 1", "as"),
    ("device list", "asr"),
    ("device add Scanner --from alice@clinic.test", "as"),
    ("device disable 1", "as"),
    ("connector list", "asr"),
    ("connector add Gateway --network 192.0.2.0/24", "as"),
    ("connector disable 1", "as"),
    ("blobs status", "o"),
    ("blobs collect", "o"),
    ("blobs compact", "o"),
    ("blobs scrub", "o"),
    ("log", "oasr"),
    ("log --detail", "sr"),
    // What is typed with words of its own is here as it goes over the socket.
    (r#"{"key":"list"}"#, "osr"),
    (r#"{"key":"status"}"#, "osr"),
    (r#"{"key":{"rotate":{"what":"all","to":null}}}"#, "o"),
    (r#"{"backup":"status"}"#, "oasr"),
    (r#"{"backup":{"run":{"kind":"daily"}}}"#, "oas"),
    (r#"{"audit":{"export":{"from":null,"to":null,"server":false,"opened":false}}}"#, "oasr"),
    (r#"{"audit":{"export":{"from":null,"to":null,"server":false,"opened":true}}}"#, "sr"),
    (r#"{"audit":{"prove":{"id":1,"since":null,"server":false}}}"#, "oasr"),
    (r#"{"audit":{"key":{"server":false}}}"#, "oasr"),
];

/// What the operator may run without a personal sign-in: counts, ids, the log's plain facts, a nudge to the queue, the
/// upkeep of the host, and a link for somebody who never had a password. This list may only shrink.
const WITHOUT_SIGN_IN: &[sealpost_policy::Command] = &[
    sealpost_policy::Command::Status,
    sealpost_policy::Command::UserSetupLink,
    sealpost_policy::Command::QueueList,
    sealpost_policy::Command::QueueRetry,
    sealpost_policy::Command::PickupList,
    sealpost_policy::Command::LogList,
    sealpost_policy::Command::AuditExport,
    sealpost_policy::Command::KeyList,
    sealpost_policy::Command::KeyStatus,
    sealpost_policy::Command::KeyRotate,
    sealpost_policy::Command::BanList,
    sealpost_policy::Command::BlobStatus,
    sealpost_policy::Command::BlobCare,
    sealpost_policy::Command::BackupRun,
    sealpost_policy::Command::BackupList,
    sealpost_policy::Command::QueueHeld,
];

/// What policy knows and no command asks for yet.
const NOT_ASKED: &[sealpost_policy::Command] = &[sealpost_policy::Command::BackupItems];

fn who(letters: &str) -> Vec<Role> {
    letters
        .chars()
        .map(|letter| match letter {
            'o' => Role::Operator,
            'a' => Role::TenantAdmin,
            's' => Role::SecurityOfficial,
            'r' => Role::Auditor,
            _ => panic!("{letter} is no role"),
        })
        .collect()
}

/// What is typed, as it goes over the socket.
fn act(typed: &str) -> Act {
    if typed.starts_with('{') {
        return serde_json::from_str(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
    }
    let words = std::iter::once("sealpost").chain(typed.split(' '));
    let command = Command::augment_subcommands(clap::Command::new("sealpost"));
    let matches = command.try_get_matches_from(words).unwrap_or_else(|e| panic!("{typed}: {e}"));
    let command = Command::from_arg_matches(&matches).expect("is a command");
    command.act(&mut |_: &str| Ok(PASSWORD.to_owned())).expect("is an act")
}

/// The last words of each path through the commands.
fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    let mut below = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
    if below.peek().is_none() {
        found.insert(path.to_owned());
    }
    for sub in below {
        leaves(sub, format!("{path} {}", sub.get_name()).trim(), found);
    }
}

struct World {
    _folder: tempfile::TempDir,
    instance: Instance,
    clinic: TenantId,
    lab: TenantId,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = "[server]\nhostname = \"mail.host.test\"\npublic_url = \"https://mail.host.test\"\ndata = \"data\"\n\
            [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n[keys]\nmaster = \"file:keys/master.key\"\nring = \"ring\"\n";
        let config = Config::parse(file, &folder.path().join("sealpost.toml")).expect("valid");
        let opened = Opened::create(&config).await.expect("is made");
        let instance = Instance::start(&config, opened).await.expect("starts");
        let by = Caller::SYSTEM;
        let mut tenants = Vec::new();
        for (name, domain) in [("Demo Clinic", "clinic.test"), ("Far Lab", "lab.test")] {
            let tenant = instance.identity.create_tenant(name, &by).await.expect("is made");
            let domain = Domain::parse(domain).expect("a domain");
            instance.identity.add_domain(tenant, &domain, true, &by).await.expect("is added");
            tenants.push(tenant);
        }
        let world = Self { _folder: folder, instance, clinic: tenants[0], lab: tenants[1] };
        world.add(world.clinic, "alice@clinic.test", Roles::NONE.with(Role::User)).await;
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Operator) {
            let at = format!("{}@clinic.test", role.word());
            world.add(world.clinic, &at, Roles::NONE.with(Role::User).with(role)).await;
        }
        world.add(world.lab, "boss@lab.test", everything()).await;
        let front = Address::parse("front@clinic.test").expect("an address");
        people::add_shared(&world.instance, world.clinic, &front, &by).await.expect("is made");
        for typed in [
            "address add alias@clinic.test --alias-of user@clinic.test",
            "group add group@clinic.test",
            "grant add front@clinic.test user@clinic.test --right read",
        ] {
            let token = world.token("tenant-admin@clinic.test").await;
            let reply = world.run(0, Some(token), typed).await;
            assert!(matches!(reply, Reply::Done { .. }), "{typed}: {}", text(&reply));
        }
        world
    }

    async fn add(&self, tenant: TenantId, at: &str, roles: Roles) {
        let new = NewUser {
            tenant,
            address: Address::parse(at).expect("an address"),
            name: "Somebody Important".into(),
            password: Secret::new(PASSWORD.to_owned()),
            roles,
        };
        people::add(&self.instance, new, &Caller::SYSTEM).await.expect("is added");
    }

    async fn token(&self, at: &str) -> String {
        let client = Client::local(Protocol::Control);
        let password = Secret::new(PASSWORD.to_owned());
        let attempt = Attempt { login: at.to_owned(), password, client: &client };
        let login = self.instance.identity.authenticate(attempt).await.expect("gets in");
        self.instance.identity.open_session(&login).await.expect("opens").expose().clone()
    }

    async fn run(&self, uid: u32, token: Option<String>, typed: &str) -> Reply {
        let request = Request { sign_in: None, token, act: act(typed) };
        match Box::pin(answer(&self.instance, uid, request)).await {
            Ok((reply, _)) => reply,
            Err(error) => Reply::Refused(format!("{error:#}")),
        }
    }

    /// How many commands a log says were refused.
    async fn refusals(&self, tenant: TenantId) -> usize {
        let filter = Filter { verb: Some(Verb::Command), limit: 1_000, ..Filter::default() };
        let roles = Roles::NONE.with(Role::Auditor);
        let list = self.instance.audit.list(&Caller::SYSTEM, roles, tenant, &filter).await.expect("lists");
        list.records.iter().filter(|r| r.outcome == Some(Outcome::Refused)).count()
    }

    /// Everything about the clinic's people that a command could change.
    async fn clinic(&self) -> String {
        let identity = &self.instance.identity;
        let mut all = format!("{:?}", identity.access_review(self.clinic).await.expect("reviews"));
        all += &format!("{:?}", identity.rules(self.clinic).await.expect("reads"));
        all += &format!("{:?}", identity.addresses(self.clinic, None).await.expect("lists"));
        all += &format!("{:?}", identity.domains(self.clinic).await.expect("lists"));
        all += &format!("{:?}", identity.devices(self.clinic).await.expect("lists"));
        all += &format!("{:?}", identity.pending_acts(self.clinic).await.expect("lists"));
        for person in identity.people(self.clinic, None).await.expect("lists") {
            all += &format!("{:?}", identity.sessions(person.id).await.expect("lists").len());
        }
        all
    }
}

fn everything() -> Roles {
    Role::ALL.into_iter().filter(|role| *role != Role::Operator).collect()
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Done { text, .. } => text.clone(),
        Reply::Follows { lines } => format!("{lines} lines"),
        Reply::Refused(words) => words.clone(),
    }
}

#[test]
fn every_command_is_listed_with_who_may() {
    let mut all = BTreeSet::new();
    leaves(&Command::augment_subcommands(clap::Command::new("sealpost")), "", &mut all);
    let unlisted: Vec<_> =
        all.iter().filter(|path| !TABLE.iter().any(|(typed, _)| is_of(typed, path))).collect();
    assert!(unlisted.is_empty(), "these commands are not in the table of who may run them: {unlisted:?}");
    for (typed, letters) in TABLE {
        let (command, allowed) = (act(typed).command(), who(letters));
        for role in Role::ALL {
            let verdict = decide::command(Roles::NONE.with(role), command).is_ok();
            assert_eq!(verdict, allowed.contains(&role), "{typed} by {}", role.word());
        }
    }
    for command in sealpost_policy::Command::ALL {
        let listed = TABLE.iter().any(|(typed, _)| act(typed).command() == *command);
        assert_ne!(
            listed,
            NOT_ASKED.contains(command),
            "{command:?}: policy knows it, and no line of the table asks for it; or it is asked for now"
        );
        let alone = command.roles().contains(&Role::Operator);
        assert_eq!(alone, WITHOUT_SIGN_IN.contains(command), "{command:?} without a personal sign-in");
    }
}

/// Runs a test whose future, with all commands in it, is too large for a thread of tests.
fn on_a_large_stack<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test());
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Whether what is typed is this command.
fn is_of(typed: &str, path: &str) -> bool {
    typed.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[test]
fn whoever_is_not_listed_is_refused_with_one_entry() {
    on_a_large_stack(refused_with_one_entry);
}

async fn refused_with_one_entry() {
    let world = Box::pin(World::new()).await;
    let mut tokens = Vec::new();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Operator) {
        tokens.push((role, world.token(&format!("{}@clinic.test", role.word())).await));
    }
    let before = world.clinic().await;
    let mut expected = (world.refusals(world.clinic).await, world.refusals(sealpost_audit::instance()).await);
    let own = rustix::process::geteuid().as_raw();
    for (typed, letters) in TABLE {
        for (role, token) in tokens.iter().filter(|(role, _)| !who(letters).contains(role)) {
            let reply = world.run(own, Some(token.clone()), typed).await;
            assert!(matches!(reply, Reply::Refused(_)), "{typed} by {}: {}", role.word(), text(&reply));
            expected.0 += 1;
        }
        // Whoever opens the socket and is nobody; and whoever runs the host, where that is not enough.
        let strangers = [Some(own + 1), (!letters.contains('o')).then_some(own)];
        for uid in strangers.into_iter().flatten().filter(|uid| *uid != 0 || !letters.contains('o')) {
            let reply = world.run(uid, None, typed).await;
            assert!(matches!(reply, Reply::Refused(_)), "{typed} by uid {uid}: {}", text(&reply));
            expected.1 += 1;
        }
        let found = (world.refusals(world.clinic).await, world.refusals(sealpost_audit::instance()).await);
        assert_eq!(found, expected, "{typed}: one entry for each refusal");
    }
    assert_eq!(world.clinic().await, before, "nothing was changed");
}

#[test]
fn who_has_every_role_elsewhere_sees_and_changes_nothing_here() {
    on_a_large_stack(nothing_here);
}

async fn nothing_here() {
    let world = Box::pin(World::new()).await;
    let boss = world.token("boss@lab.test").await;
    let before = world.clinic().await;
    for (typed, _) in TABLE {
        let reply = world.run(0, Some(boss.clone()), typed).await;
        if let Reply::Done { rows, text } = reply {
            let shown = format!("{text}{rows:?}");
            let named = typed.contains("clinic.test");
            assert!(named || !shown.contains("clinic.test"), "{typed} shows the clinic's: {shown}");
            assert!(!named, "{typed} was done: {shown}");
        }
    }
    assert_eq!(world.clinic().await, before, "nothing of the clinic was changed");
}

#[test]
fn a_token_ends_with_its_session() {
    on_a_large_stack(token_ends);
}

async fn token_ends() {
    let world = Box::pin(World::new()).await;
    let token = world.token("auditor@clinic.test").await;
    assert!(matches!(world.run(0, Some(token.clone()), "user list").await, Reply::Done { .. }));
    let admin = world.token("tenant-admin@clinic.test").await;
    let ended = world.run(0, Some(admin), "session end auditor@clinic.test --all").await;
    assert!(matches!(ended, Reply::Done { .. }), "{}", text(&ended));
    let reply = world.run(0, Some(token.clone()), "user list").await;
    assert!(matches!(&reply, Reply::Refused(words) if words.contains("session open")), "{}", text(&reply));
    let secret = Secret::new(token);
    let session = world.instance.identity.session(&secret, Touch::No, &Client::SYSTEM).await;
    assert!(session.expect("looks").is_none());
}

#[test]
fn every_kind_of_notice_reaches_those_concerned() {
    on_a_large_stack(notices_reach);
}

async fn notices_reach() {
    let world = Box::pin(World::new()).await;
    let (identity, password) = (&world.instance.identity, Secret::new(PASSWORD.to_owned()));
    let admin = Some(world.token("tenant-admin@clinic.test").await);
    // A second person is asked for, agrees, and alice has another password; the owner of a mailbox hears who may use it.
    let reply = world.run(0, admin.clone(), "user password alice@clinic.test --password-stdin").await;
    let Reply::Done { rows, .. } = reply else { panic!("{}", text(&reply)) };
    let id = rows[0]["waits"].as_i64().expect("a second person is needed");
    let official = Some(world.token("security-official@clinic.test").await);
    let reply = world.run(0, official.clone(), &format!("act approve {id}")).await;
    assert!(matches!(reply, Reply::Done { .. }), "{}", text(&reply));
    let reply = world.run(0, admin, "grant add alice@clinic.test user@clinic.test --right read").await;
    let Reply::Done { rows, .. } = reply else { panic!("{}", text(&reply)) };
    let id = rows[0]["waits"].as_i64().expect("a second person is needed");
    world.run(0, official, &format!("act approve {id}")).await;
    // Two networks, and many wrong passwords.
    for ip in ["192.0.2.1", "198.51.100.1"] {
        let client = Client { ip: ip.parse().expect("an ip"), ..Client::local(Protocol::Web) };
        let attempt =
            || Attempt { login: "alice@clinic.test".into(), password: password.clone(), client: &client };
        identity.authenticate(attempt()).await.expect("gets in");
    }
    for n in 0..20 {
        let ip = std::net::Ipv4Addr::new(203, 0, n, 1).into();
        let client = Client { ip, ..Client::local(Protocol::Web) };
        let wrong = Secret::new("wrong".to_owned());
        let attempt = Attempt { login: "alice@clinic.test".into(), password: wrong, client: &client };
        identity.authenticate(attempt).await.expect_err("is refused");
    }
    let mut kinds: Vec<_> = identity.notices().await.expect("lists").iter().map(|n| n.kind as u8).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, [1, 2, 3, 4, 5], "each kind is there");
    crate::alerts::send_waiting(&world.instance).await.expect("sends them");
    assert!(identity.notices().await.expect("lists").is_empty(), "and forgets them");
    let inbox = world.inbox("alice@clinic.test").await;
    for words in [
        "The password was set anew for alice@clinic.test by an administrator",
        "many wrong passwords within an hour",
        "a network that was not known before: 198.51.100.0/24 by web",
        "user@clinic.test may use the mailbox alice@clinic.test: read",
    ] {
        assert!(inbox.iter().any(|mail| flat(mail).contains(words)), "{words}: {inbox:?}");
    }
    let asked = world.inbox("security-official@clinic.test").await;
    assert!(
        asked.iter().any(|mail| flat(mail).contains("a new password for alice@clinic.test")),
        "{asked:?}"
    );
}

/// A mail's words on one line.
fn flat(mail: &str) -> String {
    mail.replace("=\r\n", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

impl World {
    /// Somebody's inbox, as its owner reads it.
    async fn inbox(&self, at: &str) -> Vec<String> {
        let address = Address::parse(at).expect("an address");
        let found = self.instance.identity.resolve(&address).await.expect("resolves");
        let mailbox = found.mailbox().expect("has a mailbox");
        let actor = Actor::Person { tenant: self.clinic, person: mailbox.person.expect("is a person's") };
        let mailboxes = &self.instance.mailboxes;
        let facts = mailboxes.policy_facts(mailbox.account).await.expect("reads");
        let access = decide::mailbox(actor, &facts, sealpost_policy::Right::Read).expect("is the owner");
        let caller = sealpost_mailbox::Caller { access, client: Client::local(Protocol::Imap) };
        let folder = mailboxes.facts(mailbox.account).await.expect("reads").inbox;
        let mut mails = Vec::new();
        for entry in mailboxes.open(&caller, folder).await.expect("opens").entries {
            let bytes = mailboxes.read(&caller, entry.id, None).await.expect("reads");
            mails.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        mails
    }
}
