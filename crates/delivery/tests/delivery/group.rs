//! Groups, shared mailboxes and machines, through the one way in.

use sealpost_audit::{Caller, Verb};
use sealpost_delivery::{Arrival, Kind, Origin, Rcpt, Submission};
use sealpost_identity::{GroupEdit, NewDevice, Rules};
use sealpost_model::{AccountId, Actor, Id, Protocol, ReversePath};
use sealpost_policy::decide::Posting;
use sealpost_policy::{Method, Reason, Rights};

use crate::world::{World, address, client, letter};

const BY: Caller = Caller::SYSTEM;

async fn group(world: &World, at: &str, posting: Posting, members: &[&str]) {
    let (id, tenant, at) = (&world.identity, world.clinic(), address(at));
    id.add_group(tenant, &at, posting, &BY).await.expect("makes a group");
    let add = members.iter().map(|m| address(m)).collect();
    id.change_group(tenant, &at, GroupEdit { add, ..GroupEdit::default() }, &BY).await.expect("adds members");
}

fn reason<T>(result: Result<T, sealpost_delivery::Refused>) -> Option<Reason> {
    result.err().and_then(|refused| refused.reason())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_gets_one_copy_in_one_transaction_and_a_full_one_holds_nobody_up() {
    let world = World::new().await;
    let tenant = world.clinic();
    let rules = Rules { outside_members: true, ..Rules::default() };
    world.identity.set_rules(tenant, rules, &BY).await.expect("allows members elsewhere");
    group(&world, "inner@clinic.test", Posting::Members, &["bob@clinic.test", "dan@clinic.test"]).await;
    let members = ["ann@clinic.test", "inner@clinic.test", "pat@outside.test", "carl@lab.test"];
    group(&world, "all@clinic.test", Posting::Organisation, &members).await;
    // Dan's mailbox of 300 bytes is full from the first letter on.
    world.send(&["dan@clinic.test"], "From: ann@clinic.test\r\n\r\n").await.ok();
    let before = world.rows();
    let accepted =
        world.send(&["all@clinic.test", "bob@clinic.test"], &letter("all")).await.expect("is taken");
    assert_eq!(world.inbox("bob").await.len(), 1, "one copy, though he was written to twice");
    assert_eq!(world.inbox("ann").await.len(), 1);
    assert_eq!(world.rows()[1], before[1] + 1, "one journal row");
    let mut ways: Vec<_> =
        world.of(accepted.submission).await.iter().map(|row| (row.recipient.clone(), row.method)).collect();
    ways.sort_by_key(|(recipient, _)| recipient.clone());
    let methods: Vec<_> = ways.iter().map(|(r, m)| (r.as_str(), *m)).collect();
    assert_eq!(methods.len(), 5, "{methods:?}");
    assert!(methods.contains(&("bob@clinic.test", Method::Mailbox)), "{methods:?}");
    assert!(methods.contains(&("carl@lab.test", Method::Local)), "{methods:?}");
    assert!(methods.contains(&("pat@outside.test", Method::Smtp)), "{methods:?}");
    let journal = world.journal().await;
    let envelope = &journal.last().expect("is there").1;
    assert!(envelope.to.contains(&"all@clinic.test".to_owned()), "the group as it was written to");
    let log = world.log(tenant, Verb::Accept).await;
    let objects = &log.last().expect("is there").objects;
    assert_eq!(objects.iter().filter(|o| o.kind.word() == "address").count(), 1, "the log names the group");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_name_opens_no_group_and_a_stranger_writes_to_open_ones_alone() {
    let world = World::new().await;
    group(&world, "staff@clinic.test", Posting::Organisation, &["bob@clinic.test"]).await;
    group(&world, "open@clinic.test", Posting::Anyone, &["bob@clinic.test"]).await;
    group(&world, "heads@clinic.test", Posting::Members, &["bob@clinic.test"]).await;
    let delivery = &world.delivery;
    let staff = delivery.check_recipient(None, &address("staff@clinic.test")).await;
    assert_eq!(reason(staff), Some(Reason::GroupClosed));
    let open = delivery.check_recipient(None, &address("open@clinic.test")).await;
    assert!(matches!(open, Ok(Rcpt::Group { .. })));
    let forged = world.arriving("bob@clinic.test", &["staff@clinic.test"], &letter("staff"));
    assert_eq!(reason(world.take(forged).await), Some(Reason::GroupClosed));
    let outside = world.arriving("pat@outside.test", &["open@clinic.test"], &letter("open"));
    world.take(outside).await.expect("is open to anyone");
    assert_eq!(reason(world.send(&["heads@clinic.test"], &letter("heads")).await), Some(Reason::GroupClosed));
    world.send(&["staff@clinic.test"], &letter("staff")).await.expect("she belongs here");
    assert_eq!(world.inbox("bob").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_as_another_was_granted_it_and_on_behalf_says_so() {
    let world = World::new().await;
    let (ann, tenant) = (world.person("ann"), world.clinic());
    let front = address("front@clinic.test");
    world.identity.add_shared(tenant, &front, AccountId::from_raw(9_999_001), &BY).await.expect("is made");
    let message = |sender: &str| {
        format!(
            "From: Front <front@clinic.test>\r\n{sender}To: bob@clinic.test\r\nSubject: x\r\n\r\nHello.\r\n"
        )
    };
    let send = async |envelope: &str, sender: &str| {
        world.take(world.submission(ann, envelope, &["bob@clinic.test"], &message(sender))).await
    };
    assert_eq!(reason(send(ann.address, "").await), Some(Reason::SenderNotOwned));
    let who = address(ann.address);
    let grant = async |rights| {
        world.identity.add_grant(tenant, &front, &who, rights, None, &BY).await.expect("is granted")
    };
    grant(Rights::READ).await;
    assert_eq!(reason(send(ann.address, "").await), Some(Reason::SenderNotOwned), "reading is not writing");
    grant(Rights::SEND_ON_BEHALF).await;
    assert_eq!(reason(send(ann.address, "").await), Some(Reason::OnBehalfNeedsSender));
    let named = "Sender: ann@clinic.test\r\n";
    send(ann.address, named).await.expect("on behalf, and named");
    let other = "Sender: bob@clinic.test\r\n";
    assert_eq!(reason(send(ann.address, other).await), Some(Reason::SenderNotOwned));
    grant(Rights::SEND_AS).await;
    send("front@clinic.test", "").await.expect("as the address itself");
    world.identity.remove_grant(tenant, &front, &who, &BY).await.expect("is taken away");
    assert_eq!(reason(send(ann.address, "").await), Some(Reason::SenderNotOwned));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_writes_as_its_one_address_and_no_more_often_than_it_may() {
    let world = World::new().await;
    let tenant = world.clinic();
    let new = NewDevice {
        name: "Scanner".into(),
        from: address("ann@clinic.test"),
        networks: Vec::new(),
        rate: 2,
        by_network: false,
    };
    let (device, _) = world.identity.add_device(tenant, &new, &BY).await.expect("is added");
    let send = async |from: &str, message: &str| {
        let origin = Origin::Device { tenant, device };
        let body = world.delivery.begin(Arrival {
            origin,
            trace: "Received: by mail.clinic.test\r\n".into(),
            return_path: from.to_owned(),
        });
        let caller = Caller { actor: Actor::Device { tenant, device }, client: client(Protocol::Submission) };
        let (from, to) = (ReversePath::From(address(from)), vec![address("bob@clinic.test")]);
        let s = Submission { caller, origin, kind: Kind::Message, from, to, body, twin: None };
        world.take((s, message.into())).await
    };
    let other = letter("bob").replace("ann@", "bob@");
    assert_eq!(reason(send("ann@clinic.test", &other).await), Some(Reason::DeviceFrom), "another author");
    assert_eq!(reason(send("bob@clinic.test", &letter("bob")).await), Some(Reason::DeviceFrom));
    for _ in 0..2 {
        send("ann@clinic.test", &letter("bob")).await.expect("within its rate");
    }
    assert_eq!(reason(send("ann@clinic.test", &letter("bob")).await), Some(Reason::DeviceRate));
    world.clock.advance(std::time::Duration::from_secs(1800));
    send("ann@clinic.test", &letter("bob")).await.expect("half an hour later one more");
    let log = world.log(tenant, Verb::Accept).await;
    assert_eq!(log.last().expect("is there").actor, Some(Actor::Device { tenant, device }));
    assert!(sealpost_identity::verify(&world.store, &world.keys).await.expect("looks").is_empty());
}
