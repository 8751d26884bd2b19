//! Dialogues with whole sessions, over a real store: the files in `tests/sessions`.

mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealpost_imap::{Services, session};
use sealpost_model::{Actor, Address, Protocol};
use sealpost_net::{Stop, Stopper};
use sealpost_policy::Rights;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use world::{World, speak};

fn services(world: &World) -> Arc<Services> {
    Arc::new(Services {
        identity: world.identity.clone(),
        mailboxes: world.mailboxes.clone(),
        clock: world.clock.clone(),
        largest_message: 1 << 20,
    })
}

/// Speaks one file; a connection whose name begins with `p` is plain.
async fn dialog(name: &str) -> World {
    let world = World::new().await;
    dialog_in(&world, name).await;
    world
}

async fn dialog_in(world: &World, name: &str) {
    let services = services(world);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions").join(name);
    speak(&path, async |name| {
        let (stream, wire) = world.connect(Protocol::Imap, !name.starts_with('p'));
        tokio::spawn(session(stream, Arc::clone(&services), Stop::never()));
        wire
    })
    .await;
}

macro_rules! dialogs {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            dialog(concat!(stringify!($name), ".txt")).await;
        }
    )*};
}

dialogs! { sign_in flags folders append_and_fetch search copy_and_move expunge idle parts condstore hostile }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_of_content_is_in_the_log() {
    let world = dialog("reads.txt").await;
    let verbs = world.verbs().await;
    let count = |verb: &str| verbs.iter().filter(|v| *v == verb).count();
    assert_eq!(count("login"), 1, "{verbs:?}");
    assert_eq!(count("append"), 2, "{verbs:?}");
    // BODY[], BODY[HEADER] and the TEXT search of two messages
    assert_eq!(count("read-message"), 4, "{verbs:?}");
    // ENVELOPE of two, and SUBJECT
    assert_eq!(count("read-summary"), 2, "{verbs:?}");
    assert_eq!(count("logout"), 1, "{verbs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_delegates_of_a_shared_mailbox_are_named_each_and_its_end_is_told() {
    let world = World::new().await;
    let (alice, carol) = (world.add("alice@clinic.test").await, world.add("carol@clinic.test").await);
    let front = world.shared("front@clinic.test").await;
    world.grant("front@clinic.test", "carol@clinic.test", Rights::WRITE).await;
    world.grant("front@clinic.test", "bob@clinic.test", Rights::READ).await;
    world.grant("alice@clinic.test", "bob@clinic.test", Rights::READ).await;
    dialog_in(&world, "delegates.txt").await;
    let reads = world.records("read-message").await;
    let mut who: Vec<_> = reads.iter().map(|r| (r.actor, r.owner)).collect();
    who.dedup();
    let named = |person| (Some(Actor::Person { tenant: world.tenant, person }), Some(front));
    assert_eq!(who, [named(carol), named(world.bob)], "actor and owner of each read, oldest first");
    assert!(reads.iter().all(|r| r.actor != Some(Actor::Person { tenant: world.tenant, person: alice })));

    // A grant that is taken away ends what is open of it, while it idles.
    let (stream, mut wire) = world.connect(Protocol::Imap, true);
    tokio::spawn(session(stream, services(&world), Stop::never()));
    let login = format!("a1 LOGIN bob@clinic.test \"{}\"\r\n", world::PASSWORD);
    say(&mut wire, &login).await;
    say(&mut wire, "a2 EXAMINE \"Shared/front@clinic.test/INBOX\"\r\na3 IDLE\r\n").await;
    while world::hear(&mut wire).await != "+ You will be told" {}
    let [mailbox, person] =
        ["front@clinic.test", "bob@clinic.test"].map(|a| Address::parse(a).expect("an address"));
    let by = sealpost_audit::Caller::SYSTEM;
    world.identity.remove_grant(world.tenant, &mailbox, &person, &by).await.expect("removes");
    assert_eq!(world::hear(&mut wire).await, "* BYE Your access was ended; sign in again");
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_sent_away() {
    let world = World::new().await;
    let (stream, mut wire) = world.connect(Protocol::Imap, true);
    let session = tokio::spawn(session(stream, services(&world), Stop::never()));
    assert!(world::hear(&mut wire).await.starts_with("* OK"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(world::hear(&mut wire).await, "* BYE You were silent for too long and are signed out");
    session.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_server_and_of_an_access_are_told() {
    let world = World::new().await;
    let (stopper, stop) = Stopper::new(Duration::from_secs(1));
    let mut wires = Vec::new();
    for (number, idle) in [false, true].into_iter().enumerate() {
        let stop = if number == 0 { stop.clone() } else { Stop::never() };
        let (stream, mut wire) = world.connect(Protocol::Imap, true);
        tokio::spawn(session(stream, services(&world), stop));
        say(&mut wire, &format!("a1 LOGIN bob@clinic.test \"{}\"\r\n", world::PASSWORD)).await;
        world::hear(&mut wire).await;
        assert!(world::hear(&mut wire).await.starts_with("a1 OK"));
        if idle {
            say(&mut wire, "a2 IDLE\r\n").await;
            assert_eq!(world::hear(&mut wire).await, "+ You will be told");
        }
        wires.push(wire);
    }
    stopper.stop();
    assert_eq!(world::hear(&mut wires[0]).await, "* BYE The server is stopping; connect again in a moment");
    world.disable_bob().await;
    assert_eq!(world::hear(&mut wires[1]).await, "* BYE Your access was ended; sign in again");
    let verbs = world.verbs().await;
    assert_eq!(verbs.iter().filter(|verb| *verb == "logout").count(), 2, "{verbs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starttls_begins_anew_and_takes_nothing_along() {
    let world = World::new().await;
    let (server, client) = world.tls();
    let begin = async |injected: &str| {
        let (stream, mut wire) = world.connect_starttls(Protocol::Imap, &server);
        tokio::spawn(session(stream, services(&world), Stop::never()));
        assert!(world::hear(&mut wire).await.contains("STARTTLS LOGINDISABLED"));
        say(&mut wire, &format!("a1 STARTTLS\r\n{injected}")).await;
        let answer = world::hear(&mut wire).await;
        (answer, wire)
    };
    // Sent ahead of the handshake: the connection is over.
    let (answer, mut wire) = begin("a2 NOOP\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("a1 OK"), "{answer}");
    assert_eq!(world::hear(&mut wire).await, "");

    let (answer, wire) = begin("").await;
    assert_eq!(answer, "a1 OK Begin TLS now");
    let mut wire = world.secure(wire, &client).await;
    for (said, heard) in [
        ("a2 CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN"),
        ("", "a2 OK CAPABILITY completed"),
        ("a3 STARTTLS\r\n", "a3 BAD The connection is encrypted already"),
    ] {
        say(&mut wire, said).await;
        assert_eq!(world::hear(&mut wire).await, heard);
    }
    say(&mut wire, &format!("a4 LOGIN bob@clinic.test \"{}\"\r\n", world::PASSWORD)).await;
    assert!(world::hear(&mut wire).await.starts_with("a4 OK"));
}

async fn say(wire: &mut (impl AsyncWrite + Unpin), text: &str) {
    wire.write_all(text.as_bytes()).await.expect("is sent");
    wire.flush().await.expect("is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_comes_back_byte_for_byte_in_whole_and_in_ranges() {
    let world = World::new().await;
    let (stream, mut wire) = world.connect(Protocol::Imap, true);
    tokio::spawn(session(stream, services(&world), Stop::never()));
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < 900_000 {
        message.extend_from_slice(format!("line at {}\r\n", message.len()).as_bytes());
    }
    let login = format!("a1 LOGIN bob@clinic.test \"{}\"\r\n", world::PASSWORD);
    say(&mut wire, &login).await;
    say(&mut wire, &format!("a2 APPEND INBOX {{{}+}}\r\n", message.len())).await;
    for piece in message.chunks(10_007) {
        wire.write_all(piece).await.expect("is sent");
    }
    say(&mut wire, "\r\na3 EXAMINE INBOX\r\n").await;
    while !world::hear(&mut wire).await.starts_with("a3 OK") {}
    let whole = message.len();
    for (offset, count) in [(0, whole), (262_143, 2), (262_144, 300_000), (899_999, 99), (5, 600_000)] {
        say(&mut wire, &format!("b FETCH 1 BODY.PEEK[]<{offset}.{count}>\r\n")).await;
        let wanted = &message[offset..(offset + count).min(whole)];
        let head = format!("* 1 FETCH (BODY[]<{offset}> {{{}}}", wanted.len());
        assert_eq!(world::hear(&mut wire).await, head);
        let mut got = vec![0; wanted.len()];
        wire.read_exact(&mut got).await.expect("is read");
        assert!(got == wanted, "{offset} {count}");
        assert_eq!(world::hear(&mut wire).await, ")");
        assert_eq!(world::hear(&mut wire).await, "b OK FETCH completed");
    }
    // Ten pieces of it in one line: more than is read ahead.
    let items = ["BODY.PEEK[]"; 10].join(" ");
    say(&mut wire, &format!("c FETCH 1 ({items})\r\n")).await;
    let mut got = vec![0; 10 * whole];
    wire.read_exact(&mut got).await.expect("is read");
    while !world::hear(&mut wire).await.starts_with("c OK") {}
}
