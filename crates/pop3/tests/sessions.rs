//! Dialogues with whole sessions, over a real store: the files in `tests/sessions`.

#[path = "../../imap/tests/world/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of IMAP, which need more of it")]
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost_mailbox::{Caller, Mailboxes};
use sealpost_model::{Client, Flags, Protocol, Secret, TlsFacts, TlsVersion};
use sealpost_net::Stop;
use sealpost_policy::Right;
use sealpost_pop3::{Services, session};
use world::{PASSWORD, World, hear, speak};

/// Bob's INBOX: a short message with dots, one in HTML that is large, one that ends without a line end.
async fn world() -> World {
    let world = World::new().await;
    let caller = caller(&world).await;
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(30_000));
    for message in ["Subject: dots\r\n\r\none\r\n.\r\n..two\r\n", &large, "Subject: cut\r\n\r\nno end"] {
        let mailboxes: &Mailboxes = &world.mailboxes;
        let inbox = mailboxes.folders(&caller).await.expect("folders")[0].id;
        let mut upload = mailboxes.upload(world.tenant, 1 << 20);
        upload.write(message.as_bytes()).await.expect("writes");
        mailboxes.append(&caller, inbox, upload, Flags::NONE, None).await.expect("appends");
    }
    world
}

async fn caller(world: &World) -> Caller {
    let tls = TlsFacts { version: TlsVersion::V1_3, cipher: "TLS13_AES_256_GCM_SHA384" };
    let client = Client { tls: Some(tls), ..Client::local(Protocol::Imap) };
    let attempt = sealpost_identity::Attempt {
        login: "bob@clinic.test".into(),
        password: Secret::new(PASSWORD.into()),
        client: &client,
    };
    let login = world.identity.authenticate(attempt).await.expect("signs in");
    let account = login.account.expect("has a mailbox");
    let access = world.identity.mailbox(&login, account, Right::Write).await.expect("may");
    Caller { access, client }
}

/// Speaks one file; a connection whose name begins with `p` is plain.
async fn dialog(name: &str) -> World {
    let world = world().await;
    let services =
        Arc::new(Services { identity: world.identity.clone(), mailboxes: world.mailboxes.clone() });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions").join(name);
    speak(&path, async |name| {
        let (stream, wire) = world.connect(Protocol::Pop3, !name.starts_with('p'));
        tokio::spawn(session(stream, Arc::clone(&services), Stop::never()));
        wire
    })
    .await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in() {
    dialog("sign_in.txt").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch() {
    let world = dialog("fetch.txt").await;
    let verbs = world.verbs().await;
    let reads = verbs.iter().filter(|verb| *verb == "read-message").count();
    // RETR three times, TOP twice
    assert_eq!(reads, 5, "{verbs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete() {
    let world = dialog("delete.txt").await;
    let caller = caller(&world).await;
    let inbox = world.mailboxes.folders(&caller).await.expect("folders")[0].id;
    let left = world.mailboxes.open(&caller, inbox).await.expect("opens").entries;
    // What was fetched and kept is read now; what was not, is not.
    let left: Vec<_> = left.iter().map(|entry| (entry.uid, entry.flags.contains(Flags::SEEN))).collect();
    assert_eq!(left, [(1, true), (2, false)]);
}

#[tokio::test]
async fn silence_deletes_nothing() {
    let world = world().await;
    let services =
        Arc::new(Services { identity: world.identity.clone(), mailboxes: world.mailboxes.clone() });
    let (stream, mut wire) = world.connect(Protocol::Pop3, true);
    tokio::spawn(session(stream, services, Stop::never()));
    let lines = format!("USER bob@clinic.test\r\nPASS {PASSWORD}\r\nDELE 1\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut wire, lines.as_bytes()).await.expect("is sent");
    for answer in ["+OK Sealpost", "+OK And", "+OK 3 messages", "+OK It will"] {
        let heard = hear(&mut wire).await;
        assert!(heard.starts_with(answer), "{heard}");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    assert_eq!(hear(&mut wire).await, "-ERR You were silent for too long; nothing was deleted");
    let caller = caller(&world).await;
    let inbox = world.mailboxes.folders(&caller).await.expect("folders")[0].id;
    assert_eq!(world.mailboxes.open(&caller, inbox).await.expect("opens").entries.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stls_begins_anew_and_takes_nothing_along() {
    let world = world().await;
    let (server, client) = world.tls();
    let begin = async |said: &str| {
        let services =
            Arc::new(Services { identity: world.identity.clone(), mailboxes: world.mailboxes.clone() });
        let (stream, mut wire) = world.connect_starttls(Protocol::Pop3, &server);
        tokio::spawn(session(stream, services, Stop::never()));
        assert!(hear(&mut wire).await.starts_with("+OK"));
        tokio::io::AsyncWriteExt::write_all(&mut wire, said.as_bytes()).await.expect("is sent");
        (hear(&mut wire).await, wire)
    };
    let (_, mut wire) = begin("STLS\r\nCAPA\r\n").await;
    assert_eq!(hear(&mut wire).await, "");

    let (answer, wire) = begin("STLS\r\n").await;
    assert_eq!(answer, "+OK Begin TLS now");
    let mut wire = world.secure(wire, &client).await;
    let lines = format!("USER bob@clinic.test\r\nPASS {PASSWORD}\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut wire, lines.as_bytes()).await.expect("is sent");
    tokio::io::AsyncWriteExt::flush(&mut wire).await.expect("is sent");
    assert_eq!(hear(&mut wire).await, "+OK And the password?");
    assert!(hear(&mut wire).await.starts_with("+OK 3 messages"));
}
