//! The directory from outside: logins, throttling, sessions, addresses, and rows that were changed.

use std::sync::Arc;
use std::time::Duration;

use sealpost_audit::{Audit, Caller, Filter, Outcome, Record, Verb};
use sealpost_crypto::{Key, Random};
use sealpost_model::{
    AccountId, Actor, Address, Client, Domain, Id, ManualClock, PersonId, Protocol, Secret, TenantId, Time,
};
use sealpost_policy::{Reason, Right, Role, Roles};
use sealpost_store::keys::{Keys, Master};
use sealpost_store::ring::Ring;
use sealpost_store::{Scope, Store, params, sql};

use crate::*;

sql! {
    FLIP_ROLES = "UPDATE person SET roles = 32 WHERE id = ?1";
    FLIP_DISABLED = "UPDATE person SET disabled = 0 WHERE id = ?1";
    STEAL_PASSWORD = "UPDATE person SET password = (SELECT p.password FROM person p WHERE p.id = ?2) WHERE id = ?1";
    FLIP_TARGET = "UPDATE address SET account = ?2 WHERE person = ?1";
    FLIP_SESSION = "UPDATE web_session SET person = ?1";
    MOVE_APP_PASSWORD = "UPDATE app_password SET person = ?1";
    UNREVOKE = "UPDATE app_password SET revoked = 0";
    FLIP_NAME = "UPDATE person SET name = password";
    FLIP_BLIND = "UPDATE web_session SET blind = x'00112233445566778899aabbccddeeff'";
    FLIP_FLOOR = "UPDATE domain SET hipaa = 0";
}

const PASSWORD: &str = "plum orbit kettle ninety";
const OTHER: &str = "velvet quarry lantern sixty";

struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    audit: Audit,
    keys: Keys,
    identity: Identity,
    tenant: TenantId,
    alice: PersonId,
    bob: PersonId,
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn client(ip: &str, protocol: Protocol) -> Client {
    Client { ip: ip.parse().expect("an ip"), port: 40_000, protocol, tls: None }
}

fn account(n: i64) -> AccountId {
    AccountId::from_raw(n)
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::new(Time::from_seconds(1_700_000_000)));
        let random = Random::system();
        let options = sealpost_store::Options {
            rehearse: true,
            ..sealpost_store::Options::embedded(folder.path().join("data"), clock.clone(), random.clone())
        };
        let store = Store::open(options, &[&sealpost_audit::SCHEMA, &SCHEMA]).expect("opens");
        let master = Master::new(Key::from_bytes([7; 32]));
        let ring = Ring::create(&folder.path().join("ring"), &master, &random).expect("makes a ring");
        let keys = Keys::create(store.clone(), ring, &master).await.expect("makes keys");
        let audit = Audit::new(
            store.clone(),
            keys.clone(),
            clock.clone(),
            random.clone(),
            sealpost_audit::Options::default(),
        )
        .await
        .expect("starts");
        let options = Options { limits, ..Options::default() };
        let identity =
            Identity::new(store.clone(), keys.clone(), audit.clone(), clock.clone(), random, options);
        let by = Caller::SYSTEM;
        let tenant = identity.create_tenant("Demo Clinic", &by).await.expect("makes a tenant");
        let domain = Domain::parse("clinic.test").expect("a domain");
        identity.add_domain(tenant, &domain, true, &by).await.expect("adds a domain");
        let mut world = Self {
            folder,
            clock,
            store,
            audit,
            keys,
            identity,
            tenant,
            alice: PersonId::from_raw(0),
            bob: PersonId::from_raw(0),
        };
        world.alice =
            world.add("alice@clinic.test", 7001, Roles::NONE.with(Role::User)).await.expect("adds alice");
        world.bob = world.add("bob@clinic.test", 7002, Roles::NONE.with(Role::User)).await.expect("adds bob");
        world
    }

    async fn add(&self, at: &str, mailbox: i64, roles: Roles) -> Result<PersonId, Error> {
        let new = NewPerson {
            tenant: self.tenant,
            address: address(at),
            name: "Somebody Important".into(),
            password: secret(PASSWORD),
            roles,
            account: (mailbox != 0).then(|| account(mailbox)),
        };
        self.identity.add_person(new, &Caller::SYSTEM).await
    }

    async fn login_from(
        &self,
        ip: &str,
        protocol: Protocol,
        who: &str,
        password: &str,
    ) -> Result<Login, AuthError> {
        let client = client(ip, protocol);
        let attempt = Attempt { login: who.into(), password: secret(password), client: &client };
        self.identity.authenticate(attempt).await
    }

    async fn login(&self, who: &str, password: &str) -> Result<Login, AuthError> {
        self.login_from("192.0.2.1", Protocol::Imap, who, password).await
    }

    fn clock_now(&self) -> Time {
        sealpost_model::Clock::now(&*self.clock)
    }

    async fn log(&self, tenant: TenantId, verb: Verb) -> Vec<Record> {
        let filter = Filter { verb: Some(verb), limit: 1000, ..Filter::default() };
        let roles = Roles::NONE.with(Role::Auditor);
        self.audit.list(&Caller::SYSTEM, roles, tenant, &filter).await.expect("lists").records
    }

    fn attack(
        &self,
        change: impl Fn(&mut sealpost_store::Tx) -> sealpost_store::Result<()> + Send + 'static,
    ) {
        self.store.write_blocking(Scope::instance(), change).expect("the attack works");
        self.identity.changed();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_becomes_an_actor_on_every_protocol_with_an_entry_each() {
    let world = World::new().await;
    let doors = [Protocol::Imap, Protocol::Pop3, Protocol::Submission, Protocol::Web, Protocol::Control];
    for protocol in doors {
        let login =
            world.login_from("192.0.2.9", protocol, "Alice@Clinic.Test", PASSWORD).await.expect("gets in");
        assert_eq!(login.actor, Actor::Person { tenant: world.tenant, person: world.alice });
        assert_eq!(
            (login.account, login.address.to_string()),
            (Some(account(7001)), "alice@clinic.test".into())
        );
        let error =
            world.login_from("192.0.2.9", protocol, "alice@clinic.test", "wrong").await.expect_err("wrong");
        assert_eq!(error, AuthError::Wrong);
    }
    let log = world.log(world.tenant, Verb::Login).await;
    assert_eq!(log.len(), 10);
    for protocol in doors {
        let mut ends: Vec<_> =
            log.iter().filter(|r| r.protocol == Some(protocol)).map(|r| r.outcome).collect();
        ends.sort_by_key(|o| o.map(|o| o as u8));
        assert_eq!(ends, [Some(Outcome::Done), Some(Outcome::Refused)], "{protocol:?}");
    }
    let failure = log.iter().find(|r| r.outcome == Some(Outcome::Refused)).expect("a failure");
    assert_eq!((failure.actor, failure.reason.as_str()), (Some(Actor::Stranger), "wrong-credentials"));
    assert_eq!(failure.objects, [world.alice.into()]);
    assert_eq!(
        failure.client.as_ref().map(|c| (c.ip.to_string(), c.port)),
        Some(("192.0.2.9".into(), 40_000))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_takes_the_same_path_and_gets_the_same_answer() {
    let world = World::new().await;
    for (who, tenant) in [
        ("nobody@clinic.test", world.tenant),
        ("alice@elsewhere.test", sealpost_audit::instance()),
        ("alice", sealpost_audit::instance()),
        ("", sealpost_audit::instance()),
    ] {
        let begun = world.log(tenant, Verb::Login).await.len();
        assert_eq!(world.login(who, PASSWORD).await.expect_err("wrong"), AuthError::Wrong, "{who}");
        let log = world.log(tenant, Verb::Login).await;
        assert_eq!(log.len(), begun + 1, "{who}");
        assert_eq!((log[0].outcome, log[0].reason.as_str()), (Some(Outcome::Refused), "wrong-credentials"));
        assert_eq!(log[0].notes, [("login".to_owned(), who.to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_from_a_network_make_that_network_wait_over_all_protocols() {
    let limits = Limits {
        network_burst: 100,
        network_interval: Duration::from_secs(2),
        login_burst: 3,
        login_interval: Duration::from_secs(60),
        ..Limits::default()
    };
    let world = World::with(limits).await;
    for protocol in [Protocol::Imap, Protocol::Submission, Protocol::Web] {
        let error =
            world.login_from("192.0.2.1", protocol, "alice@clinic.test", "wrong").await.expect_err("wrong");
        assert_eq!(error, AuthError::Wrong);
    }
    let throttled = world.login_from("192.0.2.50", Protocol::Pop3, "alice@clinic.test", PASSWORD).await;
    assert_eq!(throttled.expect_err("waits"), AuthError::Throttled { retry: Duration::from_secs(60) });
    world
        .login_from("198.51.100.1", Protocol::Imap, "alice@clinic.test", PASSWORD)
        .await
        .expect("elsewhere she gets in");
    world.login_from("192.0.2.1", Protocol::Imap, "bob@clinic.test", PASSWORD).await.expect("others get in");
    world.clock.advance(Duration::from_millis(59_999));
    assert!(world.login("alice@clinic.test", PASSWORD).await.is_err());
    world.clock.advance(Duration::from_millis(1));
    world.login("alice@clinic.test", PASSWORD).await.expect("after the wait she gets in");
    let log = world.log(world.tenant, Verb::Login).await;
    assert_eq!(log.iter().filter(|r| r.reason == "throttled").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_old_one_its_cache_and_its_sessions() {
    let world = World::new().await;
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let again = world.login("alice@clinic.test", PASSWORD).await.expect("from the cache");
    assert_eq!(again.method, login.method);
    let token = world.identity.open_session(&login).await.expect("opens");
    assert!(world.identity.still_valid(&login).await.expect("looks"));

    let by = login.caller();
    world.identity.set_password(world.alice, &secret(OTHER), &by).await.expect("sets it");
    assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("old"), AuthError::Wrong);
    world.login("alice@clinic.test", OTHER).await.expect("new");
    assert!(!world.identity.still_valid(&login).await.expect("looks"));
    let session = world.identity.session(&token, Touch::Yes, &Client::SYSTEM).await.expect("looks");
    assert!(session.is_none());
    let log = world.log(world.tenant, Verb::PasswordSet).await;
    let mine: Vec<_> = log.iter().filter(|r| r.objects.first() == Some(&world.alice.into())).collect();
    assert_eq!(mine.len(), 2, "when she was added, and now");
    assert_eq!(mine[0].actor, Some(login.actor));
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_passwords_are_refused_wherever_one_is_set() {
    let world = World::new().await;
    for weak in
        ["short", "aaaaaaaaaaaaaaaaaaaaaaa", "somebody likes plum orbits", "the clinic of kettle orbit"]
    {
        let error = world.identity.set_password(world.alice, &secret(weak), &Caller::SYSTEM).await;
        assert!(matches!(error, Err(Error::Password(_))), "{weak}");
        let new = NewPerson {
            tenant: world.tenant,
            address: address("carol@clinic.test"),
            name: "Somebody Important".into(),
            password: secret(weak),
            roles: Roles::NONE,
            account: None,
        };
        let error = world.identity.add_person(new, &Caller::SYSTEM).await;
        assert!(matches!(error, Err(Error::Password(_))), "{weak}");
    }
    world.login("alice@clinic.test", PASSWORD).await.expect("nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn app_passwords_open_mail_programs_and_never_the_web() {
    let world = World::new().await;
    let by = Caller::SYSTEM;
    let shown = world.identity.add_app_password(world.alice, "Phone", &by).await.expect("makes one");
    let typed = shown.expose().to_uppercase().replace('-', " ");
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Submission] {
        let login =
            world.login_from("192.0.2.1", protocol, "alice@clinic.test", &typed).await.expect("gets in");
        assert!(matches!(login.method, Method::AppPassword { .. }));
        let error = world.login_from("192.0.2.1", protocol, "bob@clinic.test", &typed).await;
        assert_eq!(error.expect_err("hers alone"), AuthError::Wrong);
    }
    for protocol in [Protocol::Web, Protocol::Control, Protocol::Portal] {
        let error = world.login_from("192.0.2.1", protocol, "alice@clinic.test", &typed).await;
        assert_eq!(error.expect_err("not there"), AuthError::Wrong, "{protocol:?}");
    }
    let login = world.login("alice@clinic.test", shown.expose()).await.expect("gets in");
    let list = world.identity.app_passwords(world.alice).await.expect("lists");
    assert_eq!((list.len(), list[0].device.as_str(), list[0].revoked), (1, "Phone", None));
    assert!(matches!(
        world.identity.revoke_app_password(world.bob, list[0].id, &by).await,
        Err(Error::NoSuchPerson)
    ));
    let mut told = world.store.feed().watch(sealpost_store::Topic::Sessions);
    world.identity.revoke_app_password(world.alice, list[0].id, &by).await.expect("revokes");
    told.changed().await;
    assert!(!world.identity.still_valid(&login).await.expect("looks"));
    assert_eq!(world.login("alice@clinic.test", shown.expose()).await.expect_err("over"), AuthError::Wrong);
    world.login("alice@clinic.test", PASSWORD).await.expect("her own password is another thing");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_learns_it_only_with_the_right_password() {
    let world = World::new().await;
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    world.identity.disable(world.alice, &Caller::SYSTEM).await.expect("ends her access");
    assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("no"), AuthError::Disabled);
    assert_eq!(world.login("alice@clinic.test", "wrong").await.expect_err("no"), AuthError::Wrong);
    assert!(!world.identity.still_valid(&login).await.expect("looks"));
    assert_eq!(world.identity.roles(&login.actor).await.expect("looks"), Roles::NONE);
    let target = world.identity.resolve(&address("alice@clinic.test")).await.expect("resolves");
    assert!(target.mailbox().is_some(), "mail goes on");
    world.identity.enable(world.alice, &Caller::SYSTEM).await.expect("gives it back");
    world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_idle_out_exactly() {
    let world = World::new().await;
    let web = client("192.0.2.1", Protocol::Web);
    let login =
        world.login_from("192.0.2.1", Protocol::Web, "alice@clinic.test", PASSWORD).await.expect("gets in");
    let token = world.identity.open_session(&login).await.expect("opens");
    let look = async |touch| world.identity.session(&token, touch, &web).await.expect("looks");
    let idle = Duration::from_secs(20 * 60);
    let moment = Duration::from_millis(1);

    world.clock.advance(idle - moment);
    assert!(look(Touch::No).await.is_some(), "looking is no use");
    let session = look(Touch::Yes).await.expect("lives");
    assert_eq!((session.login.person, session.login.method), (world.alice, login.method));
    assert_eq!(session.idle_until, world.identity.now().plus(idle));
    world.clock.advance(Duration::from_secs(10));
    assert!(look(Touch::Yes).await.is_some());
    world.clock.advance(idle - moment);
    assert!(look(Touch::No).await.is_some(), "a use within half a minute counts as well");
    world.clock.advance(moment);
    assert!(look(Touch::Yes).await.is_none());
    let log = world.log(world.tenant, Verb::SessionEnd).await;
    assert_eq!((log.len(), log[0].reason.as_str()), (1, "idle"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_after_twelve_hours_however_busy() {
    let world = World::new().await;
    let web = client("192.0.2.1", Protocol::Web);
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let token = world.identity.open_session(&login).await.expect("opens");
    for _ in 0..71 {
        world.clock.advance(Duration::from_secs(600));
        assert!(world.identity.session(&token, Touch::Yes, &web).await.expect("looks").is_some());
    }
    world.clock.advance(Duration::from_millis(599_999));
    assert!(world.identity.session(&token, Touch::Yes, &web).await.expect("looks").is_some());
    world.clock.advance(Duration::from_millis(1));
    assert!(world.identity.session(&token, Touch::Yes, &web).await.expect("looks").is_none());
    assert_eq!(world.log(world.tenant, Verb::SessionEnd).await[0].reason, "life-over");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_killed_and_swept() {
    let world = World::new().await;
    let web = client("192.0.2.1", Protocol::Web);
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(world.identity.open_session(&login).await.expect("opens"));
    }
    let list = world.identity.sessions(world.alice).await.expect("lists");
    assert_eq!(list.len(), 3);
    let killed = world.identity.kill_session(list[0].id, &login.caller(), "ended-by-admin").await;
    assert!(killed.expect("kills"));
    assert!(!world.identity.kill_session(list[0].id, &login.caller(), "again").await.expect("is gone"));
    world.identity.close_session(&list[1], &login.caller(), "signed-out").await.expect("closes");
    let live =
        async |n: usize| world.identity.session(&tokens[n], Touch::No, &web).await.expect("looks").is_some();
    assert_eq!([live(0).await, live(1).await, live(2).await], [false, false, true]);
    assert_eq!(world.identity.end_idle_sessions().await.expect("sweeps"), 0);
    world.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(world.identity.end_idle_sessions().await.expect("sweeps"), 1);
    assert!(world.identity.sessions(world.alice).await.expect("lists").is_empty());
    assert_eq!(world.log(world.tenant, Verb::SessionEnd).await.len(), 2);
    assert_eq!(world.log(world.tenant, Verb::Logout).await[0].reason, "signed-out");
    for nonsense in ["", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(world.identity.session(&secret(nonsense), Touch::Yes, &web).await.expect("looks").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_resolve_to_one_target() {
    let world = World::new().await;
    let by = Caller::SYSTEM;
    let resolve = async |text: &str| world.identity.resolve(&address(text)).await.expect("resolves");
    let alice = *resolve("ALICE@clinic.test").await.mailbox().expect("a mailbox");
    assert_eq!((alice.account, alice.person, alice.tenant), (account(7001), Some(world.alice), world.tenant));
    assert_eq!(resolve("nobody@clinic.test").await, Target::UnknownUser { tenant: world.tenant });
    assert_eq!(resolve("alice@elsewhere.test").await, Target::ForeignDomain);

    let info = address("info@clinic.test");
    let leads_to = address("alice@clinic.test");
    world.identity.add_alias(world.tenant, &info, &leads_to, &by).await.expect("adds an alias");
    let alias = *resolve("info@clinic.test").await.mailbox().expect("a mailbox");
    assert_eq!((alias.account, alias.person), (alice.account, alice.person));
    assert_ne!(alias.address, alice.address);
    assert!(world.identity.owns(world.alice, &info).await.expect("looks"));
    assert!(!world.identity.owns(world.bob, &info).await.expect("looks"));
    assert!(!world.identity.owns(world.alice, &address("bob@clinic.test")).await.expect("looks"));
    let login = world.login("info@clinic.test", PASSWORD).await.expect("an alias signs in, too");
    assert_eq!(login.address.to_string(), "alice@clinic.test");

    let again = world.identity.add_alias(world.tenant, &info, &leads_to, &by).await;
    assert!(matches!(again, Err(Error::AddressExists)));
    let chain = world.identity.add_alias(world.tenant, &address("x@clinic.test"), &info, &by).await;
    assert!(matches!(chain, Err(Error::AliasTarget)));
    let foreign = world.identity.add_alias(world.tenant, &address("x@elsewhere.test"), &leads_to, &by).await;
    assert!(matches!(foreign, Err(Error::NoSuchDomain)));
    assert!(matches!(world.add("alice@clinic.test", 9, Roles::NONE).await, Err(Error::AddressExists)));
    let domain = Domain::parse("clinic.test").expect("a domain");
    assert!(matches!(
        world.identity.add_domain(world.tenant, &domain, false, &by).await,
        Err(Error::DomainExists)
    ));
    let listed = world.identity.addresses(world.tenant, None).await.expect("lists");
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[2].points_to, Some(alice.address));
}

#[tokio::test(flavor = "multi_thread")]
async fn postmaster_reaches_the_first_administrator() {
    let world = World::new().await;
    let postmaster = async || {
        let target = world.identity.resolve(&address("PostMaster@clinic.test")).await.expect("resolves");
        target.mailbox().map(|m| m.account)
    };
    assert_eq!(postmaster().await, Some(account(7001)), "better than nobody");
    world.add("admin@clinic.test", 7003, Roles::NONE.with(Role::TenantAdmin)).await.expect("adds");
    assert_eq!(postmaster().await, Some(account(7003)));
    let abuse = world.identity.resolve(&address("abuse@clinic.test")).await.expect("resolves");
    assert_eq!(abuse.mailbox().map(|m| m.account), Some(account(7003)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_mailbox_signs_in_and_gets_no_mail() {
    let world = World::new().await;
    let ada = world.add("ada@clinic.test", 0, Roles::NONE.with(Role::Auditor)).await.expect("adds");
    let login = world.login("ada@clinic.test", PASSWORD).await.expect("gets in");
    assert_eq!((login.person, login.account), (ada, None));
    let target = world.identity.resolve(&address("ada@clinic.test")).await.expect("resolves");
    assert_eq!(target, Target::Refused { tenant: world.tenant });
    assert_eq!(
        world.identity.person_at(&address("ada@clinic.test")).await.expect("looks"),
        Some((world.tenant, ada))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_opens_to_its_owner_and_a_refusal_is_an_entry() {
    let world = World::new().await;
    let alice = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let access = world.identity.mailbox(&alice, account(7001), Right::Write).await.expect("hers");
    assert_eq!((access.target(), access.actor()), (account(7001), alice.actor));
    for other in [7002, 9999] {
        match world.identity.mailbox(&alice, account(other), Right::Read).await {
            Err(Error::Denied(denied)) => assert_eq!(denied.reason, Reason::NoGrant),
            _ => panic!("mailbox {other} opened"),
        }
    }
    let log = world.log(world.tenant, Verb::MailboxOpen).await;
    assert_eq!((log.len(), log[0].reason.as_str()), (2, "no-grant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_change_at_once() {
    let world = World::new().await;
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let auditor = Roles::NONE.with(Role::Auditor);
    world.identity.set_roles(world.alice, auditor, &Caller::SYSTEM).await.expect("sets them");
    assert_eq!(world.identity.roles(&login.actor).await.expect("looks"), auditor);
    assert!(world.identity.still_valid(&login).await.expect("looks"), "her login goes on");
    assert_eq!(
        world.identity.roles(&Actor::Operator { uid: 0 }).await.expect("looks"),
        Roles::NONE.with(Role::Operator)
    );
    assert_eq!(world.identity.roles(&Actor::Stranger).await.expect("looks"), Roles::NONE);
    let people = world.identity.people(world.tenant, None).await.expect("lists");
    assert_eq!(people.len(), 2);
    assert_eq!((people[0].roles, people[0].name.as_str()), (auditor, "Somebody Important"));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_rows_are_errors_and_never_other_rights() {
    let world = World::new().await;
    let alice = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let id = world.alice;
    world.attack(move |tx| tx.execute(&FLIP_ROLES, params![id]).map(drop));
    let roles = world.identity.roles(&alice.actor).await;
    assert!(matches!(roles, Err(Error::Tampered { table: "person", .. })), "{roles:?}");
    assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("no"), AuthError::Temporary);

    let world = World::new().await;
    let id = world.alice;
    world.identity.disable(id, &Caller::SYSTEM).await.expect("ends her access");
    world.attack(move |tx| tx.execute(&FLIP_DISABLED, params![id]).map(drop));
    assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("no"), AuthError::Temporary);

    let world = World::new().await;
    let (id, other) = (world.alice, world.bob);
    world.attack(move |tx| tx.execute(&STEAL_PASSWORD, params![id, other]).map(drop));
    assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("no"), AuthError::Temporary);

    let world = World::new().await;
    let id = world.alice;
    world.attack(move |tx| tx.execute(&FLIP_TARGET, params![id, 7002_i64]).map(drop));
    let target = world.identity.resolve(&address("alice@clinic.test")).await;
    assert!(matches!(target, Err(Error::Tampered { table: "address", .. })), "{target:?}");

    let world = World::new().await;
    world.attack(|tx| tx.execute(&FLIP_FLOOR, params![]).map(drop));
    let facts = world.identity.domain(&Domain::parse("clinic.test").expect("a domain")).await;
    assert!(matches!(facts, Err(Error::Tampered { table: "domain", .. })), "{facts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_sessions_cannot_be_moved_to_somebody_else() {
    let world = World::new().await;
    let shown =
        world.identity.add_app_password(world.alice, "Phone", &Caller::SYSTEM).await.expect("makes one");
    let bob = world.bob;
    world.attack(move |tx| tx.execute(&MOVE_APP_PASSWORD, params![bob]).map(drop));
    assert_eq!(world.login("bob@clinic.test", shown.expose()).await.expect_err("no"), AuthError::Temporary);

    let world = World::new().await;
    let shown =
        world.identity.add_app_password(world.alice, "Phone", &Caller::SYSTEM).await.expect("makes one");
    let list = world.identity.app_passwords(world.alice).await.expect("lists");
    world.identity.revoke_app_password(world.alice, list[0].id, &Caller::SYSTEM).await.expect("revokes");
    world.attack(|tx| tx.execute(&UNREVOKE, params![]).map(drop));
    assert_eq!(world.login("alice@clinic.test", shown.expose()).await.expect_err("no"), AuthError::Temporary);

    let world = World::new().await;
    let alice = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    let token = world.identity.open_session(&alice).await.expect("opens");
    let bob = world.bob;
    world.attack(move |tx| tx.execute(&FLIP_SESSION, params![bob]).map(drop));
    let session = world.identity.session(&token, Touch::Yes, &Client::SYSTEM).await;
    assert!(matches!(session, Err(Error::Tampered { table: "web_session", .. })), "{session:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_in_the_log_and_the_log_verifies() {
    let world = World::new().await;
    for (verb, count) in
        [(Verb::TenantAdd, 1), (Verb::DomainAdd, 1), (Verb::PersonAdd, 2), (Verb::PasswordSet, 2)]
    {
        assert_eq!(world.log(world.tenant, verb).await.len(), count, "{verb:?}");
    }
    world.audit.pass().await.expect("sequences");
    let what = sealpost_audit::Verify {
        store: &world.store,
        keys: &world.keys,
        anchors: &[],
        now: None,
        cited: None,
        coverage: COVERAGE,
    };
    let report = sealpost_audit::verify(what).await.expect("looks");
    assert!(report.is_sound(), "{report}");
    world.identity.add_app_password(world.alice, "Phone", &Caller::SYSTEM).await.expect("makes one");
    let login = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
    world.identity.open_session(&login).await.expect("opens");
    assert_eq!(verify(&world.store, &world.keys).await.expect("looks"), []);
    let named = async |change: &'static sealpost_store::Sql| {
        world.attack(move |tx| tx.execute(change, params![]).map(drop));
        let found = verify(&world.store, &world.keys).await.expect("looks");
        found.iter().map(|d| d.table).collect::<Vec<_>>()
    };
    assert_eq!(named(&UNREVOKE).await, [""; 0], "that one changes nothing here");
    assert_eq!(named(&FLIP_FLOOR).await, ["domain"]);
    assert_eq!(named(&FLIP_NAME).await, ["domain", "person", "person"]);
    assert_eq!(named(&FLIP_BLIND).await, ["domain", "person", "person", "web_session"]);
    assert_eq!(world.identity.tenant_name(world.tenant).await.expect("looks"), "Demo Clinic");
    assert_eq!(world.identity.tenants().await.expect("looks"), [world.tenant]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_lies_in_the_clear() {
    let world = World::new().await;
    world
        .identity
        .add_app_password(world.alice, "Phone of Zanzibar", &Caller::SYSTEM)
        .await
        .expect("makes one");
    let _ = world.login("zanzibar@clinic.test", "zanzibar").await;
    let mut folders = vec![world.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("reads").to_ascii_lowercase();
            for marker in
                ["clinic.test", "demo clinic", "somebody important", "zanzibar", "plum orbit", "argon2id"]
            {
                let found = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
                assert!(!found, "{marker} in {}", path.display());
            }
        }
    }
}

mod people {
    //! Groups, grants, shared mailboxes, two people.

    use sealpost_policy::Rights;
    use sealpost_policy::decide::Posting;

    use super::*;

    async fn official(world: &World, at: &str, n: i64, role: Role) -> (PersonId, Caller) {
        let person = world.add(at, n, Roles::NONE.with(Role::User).with(role)).await.expect("is added");
        let actor = Actor::Person { tenant: world.tenant, person };
        (person, Caller { actor, client: Client::local(Protocol::Control) })
    }

    fn reason<T>(result: Result<T, Error>) -> Option<Reason> {
        match result {
            Err(Error::Denied(denied)) => Some(denied.reason),
            _ => None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_reaches_each_mailbox_once_through_groups_in_circles() {
        let world = World::new().await;
        let (id, by, tenant) = (&world.identity, Caller::SYSTEM, world.tenant);
        for group in ["all@clinic.test", "front@clinic.test"] {
            id.add_group(tenant, &address(group), Posting::Members, &by).await.expect("makes a group");
        }
        id.add_alias(tenant, &address("al@clinic.test"), &address("alice@clinic.test"), &by)
            .await
            .expect("adds");
        let add = |list: &[&str]| GroupEdit {
            add: list.iter().map(|a| address(a)).collect(),
            ..GroupEdit::default()
        };
        let all = address("all@clinic.test");
        id.change_group(tenant, &all, add(&["front@clinic.test", "alice@clinic.test"]), &by)
            .await
            .expect("edits");
        let edit = add(&["all@clinic.test", "al@clinic.test", "bob@clinic.test"]);
        id.change_group(tenant, &address("front@clinic.test"), edit, &by).await.expect("edits");
        let Target::Group { group, anyone: false, .. } = id.resolve(&all).await.expect("resolves") else {
            panic!("no group")
        };
        let unfolded = id.unfold(tenant, group, true, Some(world.bob)).await.expect("a member may write");
        let mut accounts: Vec<_> = unfolded.here.iter().map(|(_, account)| account.raw()).collect();
        accounts.sort_unstable();
        assert_eq!((accounts, unfolded.groups.len()), (vec![7001, 7002], 2));
        let carol = world.add("carol@clinic.test", 7003, Roles::NONE).await.expect("adds");
        for (inside, poster) in [(true, Some(carol)), (true, None), (false, None), (false, Some(world.bob))] {
            assert_eq!(reason(id.unfold(tenant, group, inside, poster).await), Some(Reason::GroupClosed));
        }
        let error = id.change_group(tenant, &all, add(&["all@clinic.test"]), &by).await;
        assert!(matches!(error, Err(Error::GroupInItself)));
        let error = id.change_group(tenant, &all, add(&["pat@outside.test"]), &by).await;
        assert_eq!(reason(error), Some(Reason::OutsideMember));
        let rules = Rules { outside_members: true, ..Rules::default() };
        id.set_rules(tenant, rules, &by).await.expect("allows it");
        id.change_group(tenant, &all, add(&["pat@outside.test"]), &by).await.expect("now it may");
        let unfolded = id.unfold(tenant, group, true, Some(world.bob)).await.expect("unfolds");
        assert_eq!(unfolded.outside, [address("pat@outside.test")]);
        // A name that is gone is no member; given anew it is somebody else's.
        id.remove_address(tenant, &address("front@clinic.test"), &by).await.expect("removes");
        let unfolded = id.unfold(tenant, group, true, Some(world.alice)).await.expect("unfolds");
        assert_eq!(unfolded.here.len(), 1);
        let log = world.log(tenant, Verb::AddressChange).await;
        assert!(log.iter().all(|r| r.objects.len() == 2), "row and version");
        assert!(crate::verify(&world.store, &world.keys).await.expect("looks").is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_grant_opens_a_mailbox_as_far_as_it_goes_until_its_day() {
        let world = World::new().await;
        let (id, by, tenant) = (&world.identity, Caller::SYSTEM, world.tenant);
        let front = address("front@clinic.test");
        id.add_shared(tenant, &front, account(7009), &by).await.expect("makes it");
        let bob = world.login("bob@clinic.test", PASSWORD).await.expect("gets in");
        let open = |right| id.mailbox(&bob, account(7009), right);
        assert_eq!(reason(open(Right::Read).await), Some(Reason::NoGrant));
        let until = world.clock_now().plus(Duration::from_secs(3600));
        let rights = Rights::READ.with(Rights::SEND_ON_BEHALF);
        let who = address("bob@clinic.test");
        id.add_grant(tenant, &front, &who, rights, Some(until), &by).await.expect("grants");
        open(Right::Read).await.expect("may read");
        assert_eq!(reason(open(Right::Write).await), Some(Reason::GrantTooNarrow));
        assert_eq!(id.may_send(world.bob, &front).await.expect("looks"), SendAs::OnBehalf);
        assert_eq!(id.granted_to(world.bob).await.expect("lists").len(), 1);
        id.add_grant(tenant, &front, &who, Rights::WRITE.with(Rights::SEND_AS), Some(until), &by)
            .await
            .expect("grants more");
        open(Right::Write).await.expect("may write");
        assert_eq!(id.may_send(world.bob, &front).await.expect("looks"), SendAs::Granted);
        world.clock.advance(Duration::from_secs(3600));
        assert_eq!(reason(open(Right::Read).await), Some(Reason::NoGrant), "its day is over");
        assert_eq!(id.may_send(world.bob, &front).await.expect("looks"), SendAs::No);
        id.remove_grant(tenant, &front, &who, &by).await.expect("removes");
        assert!(id.grants(tenant, None).await.expect("lists").is_empty());
        let log = world.log(tenant, Verb::GrantAdd).await;
        let owners: Vec<_> = log.iter().map(|r| r.owner).collect();
        assert_eq!(owners, [Some(account(7009)), Some(account(7009))]);
        assert!(log[0].notes.contains(&("old".into(), "read send-on-behalf".into())), "{:?}", log[0].notes);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_is_outside_hipaa_domains_gets_no_mailbox_of_one() {
        let world = World::new().await;
        let (id, by, tenant) = (&world.identity, Caller::SYSTEM, world.tenant);
        let plain = Domain::parse("shop.test").expect("a domain");
        id.add_domain(tenant, &plain, false, &by).await.expect("adds");
        world.add("eve@shop.test", 7010, Roles::NONE.with(Role::User)).await.expect("adds");
        let (alice, eve) = (address("alice@clinic.test"), address("eve@shop.test"));
        let error = id.add_grant(tenant, &alice, &eve, Rights::READ, None, &by).await;
        assert_eq!(reason(error), Some(Reason::HipaaMailbox));
        let log = world.log(tenant, Verb::GrantAdd).await;
        assert_eq!(log[0].outcome, Some(Outcome::Refused));
        // The other way round it may be, until the mailbox gets an address of a HIPAA domain.
        let shop = address("info@shop.test");
        id.add_shared(tenant, &shop, account(7011), &by).await.expect("makes it");
        id.add_grant(tenant, &shop, &eve, Rights::READ, None, &by).await.expect("grants");
        let login = world.login("eve@shop.test", PASSWORD).await.expect("gets in");
        id.mailbox(&login, account(7011), Right::Read).await.expect("may");
        let second = address("info@clinic.test");
        id.add_shared(tenant, &second, account(7011), &by).await.expect("a second address");
        assert_eq!(reason(id.mailbox(&login, account(7011), Right::Read).await), Some(Reason::NoGrant));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_persons_password_needs_two_people_neither_of_them_that_person() {
        let world = World::new().await;
        let id = &world.identity;
        let (_, admin) = official(&world, "adam@clinic.test", 7020, Role::TenantAdmin).await;
        let (_, sam) = official(&world, "sam@clinic.test", 7021, Role::SecurityOfficial).await;
        let alice = Caller {
            actor: Actor::Person { tenant: world.tenant, person: world.alice },
            client: Client::local(Protocol::Control),
        };
        let new = secret(OTHER);
        let asked = id.reset_password(world.alice, &new, &admin).await.expect("asks");
        let act = asked.waits().expect("waits");
        world.login("alice@clinic.test", PASSWORD).await.expect("nothing changed yet");
        assert_eq!(reason(id.approve(world.tenant, act, &admin).await), Some(Reason::SecondPerson));
        assert_eq!(reason(id.approve(world.tenant, act, &alice).await), Some(Reason::RoleMissing));
        assert_eq!(world.log(world.tenant, Verb::ActApprove).await.len(), 2, "each refusal is an entry");
        assert!(id.approve(world.tenant, act, &sam).await.expect("agrees").done);
        assert_eq!(world.login("alice@clinic.test", PASSWORD).await.expect_err("old"), AuthError::Wrong);
        world.login("alice@clinic.test", OTHER).await.expect("the new one works");
        assert!(matches!(id.approve(world.tenant, act, &sam).await, Err(Error::ActOver)));
        let told = id.notices().await.expect("lists");
        let kinds: Vec<_> = told.iter().map(|n| n.kind).collect();
        assert_eq!(kinds, [AlertKind::Act, AlertKind::Credential]);
        assert!(told[1].to.iter().any(|a| a.same(&address("alice@clinic.test"))), "she is told");
        assert!(told[0].to.iter().any(|a| a.same(&address("sam@clinic.test"))), "and he was");
        // Her own she sets alone.
        let own = id.reset_password(world.alice, &secret(PASSWORD), &alice).await.expect("sets it");
        assert!(own.waits().is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_app_password_by_others_works_from_the_second_yes_on() {
        let world = World::new().await;
        let id = &world.identity;
        let (_, admin) = official(&world, "adam@clinic.test", 7020, Role::TenantAdmin).await;
        let (_, sam) = official(&world, "sam@clinic.test", 7021, Role::SecurityOfficial).await;
        let asked = id.reset_app_password(world.alice, "Phone", &admin).await.expect("asks");
        let act = asked.waits().expect("waits");
        let shown = asked.into_inner();
        assert!(world.login("alice@clinic.test", shown.expose()).await.is_err());
        id.approve(world.tenant, act, &sam).await.expect("agrees");
        world.login("alice@clinic.test", shown.expose()).await.expect("works now");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_act_waits_a_day_and_what_is_done_elsewhere_can_be_repeated() {
        let world = World::new().await;
        let (id, tenant) = (&world.identity, world.tenant);
        let (_, admin) = official(&world, "adam@clinic.test", 7020, Role::TenantAdmin).await;
        let (_, sam) = official(&world, "sam@clinic.test", 7021, Role::SecurityOfficial).await;
        let act = || Proposal {
            tenant,
            kind: ActKind::TenantDestroy,
            subject: tenant.raw(),
            words: "the end of the Demo Clinic".into(),
            payload: b"all of it".to_vec(),
        };
        let late = id.propose(act(), &admin).await.expect("asks");
        world.clock.advance(PATIENCE);
        assert!(matches!(id.approve(tenant, late, &sam).await, Err(Error::ActOver)));
        assert_eq!(id.expire_acts().await.expect("ends it"), 1);
        assert_eq!(id.pending_acts(tenant).await.expect("lists")[0].state, ActState::Expired);
        let act = id.propose(act(), &admin).await.expect("asks");
        let first = id.approve(tenant, act, &sam).await.expect("agrees");
        assert!(!first.done);
        let again = id.approve(tenant, act, &sam).await.expect("again after a crash");
        assert_eq!(again.payload, b"all of it");
        assert!(matches!(id.approve(tenant, act, &admin).await, Err(Error::Denied(_))));
        id.act_done(&again, &sam).await.expect("is done");
        assert!(matches!(id.approve(tenant, act, &sam).await, Err(Error::ActOver)));
        assert_eq!(world.log(tenant, Verb::ActDone).await.len(), 1);
        for by in [Caller::SYSTEM, Caller { actor: Actor::Operator { uid: 0 }, client: Client::SYSTEM }] {
            let act = Proposal {
                tenant,
                kind: ActKind::Unpin,
                subject: 0,
                words: String::new(),
                payload: Vec::new(),
            };
            assert_eq!(reason(id.propose(act, &by).await), Some(Reason::RoleMissing));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ending_all_sessions_ends_connections_and_keeps_passwords() {
        let world = World::new().await;
        let id = &world.identity;
        let app = id.add_app_password(world.alice, "Phone", &Caller::SYSTEM).await.expect("makes one");
        let one = world.login("alice@clinic.test", PASSWORD).await.expect("gets in");
        let two = world.login("alice@clinic.test", app.expose()).await.expect("gets in");
        let token = id.open_session(&one).await.expect("opens");
        let mut told = world.store.feed().watch(sealpost_store::Topic::Sessions);
        id.end_all_sessions(world.alice, &Caller::SYSTEM).await.expect("ends them");
        told.changed().await;
        for login in [&one, &two] {
            assert!(!id.still_valid(login).await.expect("looks"));
        }
        assert!(id.session(&token, Touch::Yes, &Client::SYSTEM).await.expect("looks").is_none());
        world.login("alice@clinic.test", PASSWORD).await.expect("can come back");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_network_is_told_once_and_the_first_is_not() {
        let world = World::new().await;
        let id = &world.identity;
        let from = |ip: &'static str| world.login_from(ip, Protocol::Imap, "alice@clinic.test", PASSWORD);
        from("192.0.2.1").await.expect("gets in");
        from("192.0.2.200").await.expect("the same network");
        from("127.0.0.1").await.expect("this machine");
        assert!(id.notices().await.expect("lists").is_empty());
        from("198.51.100.7").await.expect("gets in");
        from("198.51.100.8").await.expect("gets in");
        let told = id.notices().await.expect("lists");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].words.as_str()), (AlertKind::NewPlace, "198.51.100.0/24 by imap"));
        id.notice_sent(told[0].tenant, told[0].id).await.expect("is sent");
        assert!(id.notices().await.expect("lists").is_empty());
        id.set_alerts(world.alice, false, &Caller::SYSTEM).await.expect("a user may do without");
        from("203.0.113.7").await.expect("gets in");
        assert!(id.notices().await.expect("lists")[0].to.is_empty());
        let (sam, _) = official(&world, "sam@clinic.test", 7021, Role::SecurityOfficial).await;
        let error = id.set_alerts(sam, false, &Caller::SYSTEM).await;
        assert!(matches!(error, Err(Error::AlertsStay)));
    }
}

mod throttling {
    //! Sprays, bans, known places, restarts, two nodes.

    use super::*;

    fn quick() -> Limits {
        Limits {
            network_burst: 6,
            network_interval: Duration::from_secs(10),
            login_burst: 3,
            login_interval: Duration::from_secs(60),
            account_burst: 4,
            account_interval: Duration::from_secs(60),
            ban_after: 12,
            alert_after: 4,
            tarpit: Duration::ZERO,
            ..Limits::default()
        }
    }

    impl World {
        async fn wrong(&self, ip: &str, protocol: Protocol, who: &str) -> AuthError {
            self.login_from(ip, protocol, who, "wrong").await.expect_err("is refused")
        }

        /// Another process on the same store.
        async fn another(&self) -> Identity {
            let clock: sealpost_model::SharedClock = self.clock.clone();
            let options = Options { limits: quick(), ..Options::default() };
            let (store, keys, audit) = (self.store.clone(), self.keys.clone(), self.audit.clone());
            let other = Identity::new(store, keys, audit, clock, Random::system(), options);
            other.share_throttles().await.expect("reads");
            other
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_spray_over_all_protocols_shares_one_counter_and_the_person_gets_in_from_home() {
        let world = World::with(quick()).await;
        let home = "203.0.113.5";
        world.login_from(home, Protocol::Imap, "alice@clinic.test", PASSWORD).await.expect("from home");
        let app = world.identity.add_app_password(world.alice, "Phone", &Caller::SYSTEM).await.expect("made");
        let doors = [Protocol::Imap, Protocol::Submission, Protocol::Pop3, Protocol::Web];
        for (n, protocol) in doors.into_iter().enumerate() {
            let ip = format!("198.51.{n}.1");
            assert_eq!(world.wrong(&ip, protocol, "alice@clinic.test").await, AuthError::Wrong);
        }
        let elsewhere = world.login_from("192.0.2.99", Protocol::Web, "alice@clinic.test", PASSWORD).await;
        assert!(matches!(elsewhere, Err(AuthError::Throttled { .. })), "strangers wait, right or wrong");
        world.login_from(home, Protocol::Web, "alice@clinic.test", PASSWORD).await.expect("home is her own");
        let program = world.login_from("192.0.2.99", Protocol::Imap, "alice@clinic.test", app.expose()).await;
        program.expect("her program is not held up");
        world.login_from("192.0.2.99", Protocol::Web, "bob@clinic.test", PASSWORD).await.expect("nor is bob");
        // From her own network, others' names: the network waits, she does not.
        for n in 0..6 {
            world.wrong(home, doors[n % 4], &format!("nobody{n}@clinic.test")).await;
        }
        assert!(matches!(
            world.wrong(home, Protocol::Imap, "nobody9@clinic.test").await,
            AuthError::Throttled { .. }
        ));
        world.login_from(home, Protocol::Imap, "alice@clinic.test", PASSWORD).await.expect("she gets in");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn counters_and_bans_are_everybodys_and_outlive_the_process() {
        let world = World::with(quick()).await;
        for _ in 0..3 {
            world.wrong("198.51.100.1", Protocol::Imap, "alice@clinic.test").await;
        }
        world.identity.share_throttles().await.expect("writes");
        let other = world.another().await;
        let client = client("198.51.100.1", Protocol::Web);
        let attempt =
            || Attempt { login: "alice@clinic.test".into(), password: secret(PASSWORD), client: &client };
        assert!(matches!(other.authenticate(attempt()).await, Err(AuthError::Throttled { .. })));
        while world.identity.bans().await.expect("lists").is_empty() {
            world.wrong("198.51.100.1", Protocol::Imap, "alice@clinic.test").await;
        }
        let bans = world.identity.bans().await.expect("lists");
        assert_eq!((bans.len(), bans[0].network.as_str()), (1, "198.51.100.0/24"));
        let log = world.log(sealpost_audit::instance(), Verb::Ban).await;
        assert_eq!(log.len(), 1);
        let third = world.another().await;
        world.clock.advance(Duration::from_secs(1200));
        let wait = third.authenticate(attempt()).await.expect_err("banned");
        assert_eq!(wait, AuthError::Throttled { retry: Duration::from_secs(2400) });
        let log = world.log(world.tenant, Verb::Login).await;
        assert_eq!(log[0].reason, "banned");
        third.lift_ban(bans[0].id, &Caller::SYSTEM).await.expect("lifts it");
        third.authenticate(attempt()).await.expect("gets in");
        world.identity.share_throttles().await.expect("hears of it");
        world.login_from("198.51.100.1", Protocol::Web, "alice@clinic.test", PASSWORD).await.expect("too");
        assert_eq!(world.log(sealpost_audit::instance(), Verb::BanLift).await.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_failures_are_told_to_the_person_and_the_administrators_once() {
        let world = World::with(quick()).await;
        let sam = Roles::NONE.with(Role::SecurityOfficial);
        world.add("sam@clinic.test", 7021, sam).await.expect("adds");
        for n in 0..4 {
            let ip = format!("198.51.{n}.1");
            assert_eq!(world.wrong(&ip, Protocol::Imap, "alice@clinic.test").await, AuthError::Wrong);
        }
        let told = world.identity.notices().await.expect("lists");
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].kind, AlertKind::Failures);
        let to: Vec<String> = told[0].to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["alice@clinic.test", "sam@clinic.test"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_password_from_a_list_is_refused_whoever_sets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (list, leaked) = (folder.path().join("list"), "plum velvet lantern quarry nine");
        let hash: String =
            sealpost_crypto::danger_sha1(leaked.as_bytes()).iter().map(|b| format!("{b:02X}")).collect();
        std::fs::write(&list, format!("{hash}:3\n")).expect("writes");
        let world = World::new().await;
        let options = Options { leaked: Some(list.clone()), ..Options::default() };
        let clock: sealpost_model::SharedClock = world.clock.clone();
        let (store, keys, audit) = (world.store.clone(), world.keys.clone(), world.audit.clone());
        let identity = Identity::new(store, keys, audit, clock, Random::system(), options);
        let set = async |text: &str| identity.set_password(world.alice, &secret(text), &Caller::SYSTEM).await;
        let error = set(leaked).await;
        assert!(matches!(error, Err(Error::Password(PasswordError::Leaked))), "{error:?}");
        set(OTHER).await.expect("another one does");
        std::fs::remove_file(list).expect("removes");
        assert!(matches!(set(PASSWORD).await, Err(Error::Leaked(_))), "no list, no password");
    }
}

mod machines {
    //! Scanners sign in as themselves, from where they may; servers are known by what they show.

    use sealpost_model::TlsFacts;

    use super::*;

    fn scanner(network: &str, by_network: bool) -> NewDevice {
        NewDevice {
            name: "Scanner".into(),
            from: address("alice@clinic.test"),
            networks: vec![network.parse().expect("a network")],
            rate: 10,
            by_network,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_scanner_gets_in_with_its_secret_from_its_network_until_it_is_disabled() {
        let world = World::new().await;
        let (id, tenant, by) = (&world.identity, world.tenant, Caller::SYSTEM);
        let (device, shown) =
            id.add_device(tenant, &scanner("192.0.2.0/24", false), &by).await.expect("added");
        let login = format!("device-{device}");
        let from = async |ip: &str, letters: &str| {
            id.authenticate_device(&login, &secret(letters), &client(ip, Protocol::Submission)).await
        };
        let inside = from("192.0.2.9", shown.expose()).await.expect("gets in");
        assert_eq!(inside.actor(), Actor::Device { tenant, device });
        for (ip, letters) in
            [("198.51.100.9", shown.expose().as_str()), ("192.0.2.9", PASSWORD), ("192.0.2.9", "")]
        {
            assert_eq!(from(ip, letters).await.expect_err("is refused"), AuthError::Wrong, "{ip} {letters}");
        }
        // It is nobody's login, on no protocol.
        for protocol in [Protocol::Imap, Protocol::Web, Protocol::Submission] {
            assert!(world.login_from("192.0.2.9", protocol, &login, shown.expose()).await.is_err());
        }
        assert!(id.device_valid(&inside).await.expect("looks"));
        id.disable_device(tenant, device, &by).await.expect("ends it");
        assert!(!id.device_valid(&inside).await.expect("looks"));
        assert!(from("192.0.2.9", shown.expose()).await.is_err());
        let done =
            world.log(tenant, Verb::Login).await.into_iter().filter(|r| r.outcome == Some(Outcome::Done));
        assert_eq!(done.map(|r| r.actor).collect::<Vec<_>>(), [Some(inside.actor())]);
        let stray = NewDevice { from: address("nobody@clinic.test"), ..scanner("192.0.2.0/24", false) };
        let error = id.add_device(tenant, &stray, &by).await;
        assert!(matches!(error, Err(Error::NoSuchAddress)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_network_alone_is_enough_only_where_that_was_said_and_over_tls() {
        let world = World::new().await;
        let (id, tenant, by) = (&world.identity, world.tenant, Caller::SYSTEM);
        id.add_device(tenant, &scanner("192.0.2.0/24", false), &by).await.expect("is added");
        let tls = TlsFacts { version: sealpost_model::TlsVersion::V1_3, cipher: "TLS13_AES_256_GCM_SHA384" };
        let at = |ip, tls| Client { tls, ..client(ip, Protocol::Submission) };
        assert!(id.device_by_network(&at("192.0.2.9", Some(tls))).await.expect("looks").is_none());
        let (device, _) =
            id.add_device(tenant, &scanner("198.51.100.0/24", true), &by).await.expect("is added");
        let found =
            id.device_by_network(&at("198.51.100.9", Some(tls))).await.expect("looks").expect("is known");
        assert_eq!(found.device, device);
        assert!(
            id.device_by_network(&at("198.51.100.9", None)).await.expect("looks").is_none(),
            "not in the clear"
        );
        assert!(id.device_by_network(&at("203.0.113.9", Some(tls))).await.expect("looks").is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_is_known_by_its_certificate_or_by_network_and_secret_together() {
        let world = World::new().await;
        let (id, tenant, by) = (&world.identity, world.tenant, Caller::SYSTEM);
        let ip = "192.0.2.9".parse().expect("an ip");
        id.add_connector_by_certificate(tenant, "Gateway", [7; 32], &by).await.expect("is added");
        let networks = vec!["198.51.100.0/24".parse().expect("a network")];
        let (second, shown) =
            id.add_connector_by_network(tenant, "Exchange", networks, &by).await.expect("is added");
        let near = "198.51.100.9".parse().expect("an ip");
        let wrong = secret("aaaa-bbbb-cccc-dddd-eeee-ffff-gggg");
        for (ip, certificate, said, known) in [
            (ip, Some([7; 32]), None, true),
            (ip, Some([8; 32]), None, false),
            (ip, None, Some(&shown), false),
            (near, None, Some(&shown), true),
            (near, None, Some(&wrong), false),
            (near, None, None, false),
            // Both at once name two servers, and so none.
            (near, Some([7; 32]), Some(&shown), false),
        ] {
            let found = id.connector_of(&Shown { ip, certificate, secret: said }).await.expect("looks");
            assert_eq!(found.is_some(), known, "{ip} {certificate:?}");
        }
        id.disable_connector(tenant, second, &by).await.expect("ends it");
        let shown = Shown { ip: near, certificate: None, secret: Some(&shown) };
        assert!(id.connector_of(&shown).await.expect("looks").is_none());
    }
}

mod nodes {
    //! Two processes on one store.

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_one_node_changes_the_other_knows_at_once() {
        let world = World::new().await;
        let clock: sealpost_model::SharedClock = world.clock.clone();
        let (store, keys, audit) = (world.store.clone(), world.keys.clone(), world.audit.clone());
        let other = Identity::new(store, keys, audit, clock, Random::system(), Options::default());
        let alice = address("alice@clinic.test");
        assert!(other.resolve(&alice).await.expect("resolves").mailbox().is_some());
        let client = client("192.0.2.1", Protocol::Imap);
        let attempt = || Attempt { login: alice.to_string(), password: secret(PASSWORD), client: &client };
        let login = other.authenticate(attempt()).await.expect("gets in");
        world.identity.disable(world.alice, &Caller::SYSTEM).await.expect("ends her access");
        assert_eq!(other.authenticate(attempt()).await.expect_err("no"), AuthError::Disabled);
        assert!(!other.still_valid(&login).await.expect("looks"));
        let late = address("late@clinic.test");
        assert_eq!(
            other.resolve(&late).await.expect("resolves"),
            Target::UnknownUser { tenant: world.tenant }
        );
        world
            .identity
            .add_alias(world.tenant, &late, &address("bob@clinic.test"), &Caller::SYSTEM)
            .await
            .expect("adds");
        assert!(other.resolve(&late).await.expect("resolves").mailbox().is_some());
        world.identity.remove_address(world.tenant, &late, &Caller::SYSTEM).await.expect("removes");
        assert!(other.resolve(&late).await.expect("resolves").mailbox().is_none());
    }
}

mod replay {
    //! Older rows that are put back whole.

    use super::*;

    sql! {
        KEEP_PERSON = "CREATE TABLE kept AS SELECT * FROM person WHERE id = ?1";
        DROP_PERSON = "DELETE FROM person WHERE id = ?1";
        PUT_BACK_PERSON = "INSERT INTO person SELECT * FROM kept";
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn yesterdays_row_with_its_mac_is_named() {
        let world = World::new().await;
        let alice = world.alice;
        world.attack(move |tx| tx.execute(&KEEP_PERSON, params![alice]).map(drop));
        world.identity.set_password(alice, &secret(OTHER), &Caller::SYSTEM).await.expect("sets it");
        assert!(crate::verify(&world.store, &world.keys).await.expect("looks").is_empty());
        world.attack(move |tx| {
            tx.execute(&DROP_PERSON, params![alice])?;
            tx.execute(&PUT_BACK_PERSON, params![]).map(drop)
        });
        world.login("alice@clinic.test", PASSWORD).await.expect("the old password works, and its MAC fits");
        let found = crate::verify(&world.store, &world.keys).await.expect("looks");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].table, found[0].id), ("person", alice.raw()));
        assert!(found[0].why.contains("version 1") && found[0].why.contains("version 2"), "{}", found[0].why);
    }
}
