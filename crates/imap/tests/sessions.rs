//! Dialogues with whole sessions, over a real store: the files in `tests/sessions`.

mod world;

use std::path::Path;
use std::sync::Arc;

use sealpost_imap::{Services, session};
use sealpost_model::Protocol;
use sealpost_net::Stop;
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
    let services = services(&world);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions").join(name);
    speak(&path, async |name| {
        let (stream, wire) = world.connect(Protocol::Imap, !name.starts_with('p'));
        tokio::spawn(session(stream, Arc::clone(&services), Stop::never()));
        wire
    })
    .await;
    world
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
