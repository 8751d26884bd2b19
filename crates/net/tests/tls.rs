//! TLS as a protocol sees it: handshakes over memory, what is recorded, what is refused.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{Client, Clock, ManualClock, Protocol, SharedClock, Time, TlsVersion};
use sealpost_net::{
    ACME_ALPN, Certificates, Error, Hello, Line, LocalCa, ServerCertificate, ServerTls, Stream, TlsClient,
    Unverified, Verdict, trust_from_pem,
};

const IDLE: Duration = Duration::from_secs(5);

fn at(protocol: Protocol) -> Client {
    Client { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 1, protocol, tls: None }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Time::from_seconds(1_795_300_822)))
}

/// A server certificate for `names`, and a client that trusts its authority.
fn parties(names: &[&str], clock: &Arc<ManualClock>, minimum: TlsVersion) -> (ServerTls, TlsClient) {
    let shared: SharedClock = clock.clone();
    let ca = LocalCa::create(names, clock.now()).expect("names are fine");
    let server = ServerTls::new(&ca.server().expect("its own key"), minimum, &[], &shared).expect("usable");
    let roots = trust_from_pem(ca.ca.as_bytes()).expect("PEM");
    (server, TlsClient::new(&roots, &shared).expect("usable"))
}

fn pair(tls: &ServerTls) -> (Stream, Stream) {
    let (a, b) = tokio::io::duplex(64 << 10);
    (Stream::memory(a, at(Protocol::Smtp), Some(tls.clone())), Stream::memory(b, at(Protocol::System), None))
}

async fn meet(
    tls: &ServerTls,
    client: &TlsClient,
    names: &[&str],
    hello: Hello,
) -> (Stream, Stream, Verdict) {
    let (mut server, mut ours) = pair(tls);
    let (accepted, secured) = tokio::join!(server.upgrade(), ours.secure(client, names, hello));
    let (facts, verdict) = secured.expect("handshake");
    assert_eq!(accepted.expect("handshake"), facts);
    assert_eq!(server.tls(), Some(facts));
    (server, ours, verdict)
}

#[tokio::test]
async fn a_handshake_is_verified_and_encrypts() {
    let clock = clock();
    let (tls, client) = parties(&["localhost", "clinic.test", "127.0.0.1"], &clock, TlsVersion::V1_2);
    for hello in [Hello::Large, Hello::Small] {
        let (mut server, mut ours, verdict) = meet(&tls, &client, &["clinic.test"], hello).await;
        assert_eq!(verdict, Verdict::Verified { name: "clinic.test".into() });
        let facts = server.tls().expect("encrypted");
        assert_eq!((facts.version, facts.cipher), (TlsVersion::V1_3, "TLS_AES_256_GCM_SHA384"));
        ours.write(b"hello\r\n").await.expect("sent");
        ours.flush().await.expect("sent");
        assert_eq!(server.read_line(100, IDLE).await.expect("read"), Line::Whole(b"hello\r\n"[..].into()));
        assert!(!server.can_upgrade());
        assert!(matches!(server.upgrade().await, Err(Error::NoTls)));
    }
    let (_, _, verdict) = meet(&tls, &client, &["127.0.0.1"], Hello::Large).await;
    assert!(matches!(verdict, Verdict::Verified { .. }));
    let (_, _, verdict) = meet(&tls, &client, &["outside.example", "localhost"], Hello::Large).await;
    assert_eq!(verdict, Verdict::Verified { name: "localhost".into() });
}

#[tokio::test]
async fn an_unverified_peer_is_a_verdict_with_its_reason() {
    let clock = clock();
    let (tls, client) = parties(&["clinic.test"], &clock, TlsVersion::V1_2);
    let (_, stranger) = parties(&["clinic.test"], &clock, TlsVersion::V1_2);
    let why = |v| match v {
        Verdict::Unverified(why) => why,
        Verdict::Verified { .. } => panic!("verified"),
    };
    let (_, _, v) = meet(&tls, &client, &["other.test"], Hello::Large).await;
    assert_eq!(why(v), Unverified::WrongName);
    let (_, _, v) = meet(&tls, &stranger, &["clinic.test"], Hello::Large).await;
    assert_eq!(why(v), Unverified::UnknownIssuer);
    clock.advance(Duration::from_secs(86_400 * 900));
    let (_, _, v) = meet(&tls, &client, &["clinic.test"], Hello::Large).await;
    assert_eq!(why(v), Unverified::Expired);
    clock.set(Time::from_seconds(1_600_000_000));
    let (_, _, v) = meet(&tls, &client, &["clinic.test"], Hello::Large).await;
    assert_eq!(why(v), Unverified::NotYetValid);
}

#[tokio::test]
async fn an_authority_vouches_for_its_names_only() {
    // The constraint is in the certificate: a server certificate for another name, made with the same key, would fail.
    // The key is gone, so it is the text that is looked at here.
    let ca = LocalCa::create(&["localhost"], clock().now()).expect("fine");
    let der = &trust_from_pem(ca.ca.as_bytes()).expect("PEM")[0];
    // id-ce-nameConstraints, critical (RFC 5280 section 4.2.1.10).
    let oid = [0x06, 0x03, 0x55, 0x1d, 0x1e, 0x01, 0x01, 0xff];
    assert!(der.windows(oid.len()).any(|w| w == oid), "no critical name constraints");
    assert!(LocalCa::create(&["not a näme"], clock().now()).is_err());
}

#[tokio::test]
async fn nothing_crosses_the_handshake() {
    let clock = clock();
    let (tls, client) = parties(&["localhost"], &clock, TlsVersion::V1_2);
    let (mut server, mut ours) = pair(&tls);
    ours.write(b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n").await.expect("sent");
    ours.flush().await.expect("sent");
    assert!(matches!(server.read_line(100, IDLE).await, Ok(Line::Whole(_))));
    assert!(matches!(server.upgrade().await, Err(Error::Injected)));
    // And the other way round: a reply that was put in front of the handshake.
    let (mut server, mut ours) = pair(&tls);
    server.write(b"220 go\r\n250 forged\r\n").await.expect("sent");
    server.flush().await.expect("sent");
    assert!(matches!(ours.read_line(100, IDLE).await, Ok(Line::Whole(_))));
    assert!(matches!(ours.secure(&client, &["localhost"], Hello::Large).await, Err(Error::Injected)));
}

#[tokio::test]
async fn old_versions_and_garbage_find_no_handshake() {
    let clock = clock();
    let (tls, client) = parties(&["localhost"], &clock, TlsVersion::V1_3);
    let (mut server, mut ours) = pair(&tls);
    // A ClientHello for TLS 1.1 at most.
    let hello =
        [&[0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2][..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0, 0, 0]].concat();
    ours.write(&hello).await.expect("sent");
    ours.flush().await.expect("sent");
    assert!(matches!(server.upgrade().await, Err(Error::Handshake(_))));
    let (mut server, mut ours) = pair(&tls);
    server.write(b"this is not TLS at all, it is a sentence\r\n").await.expect("sent");
    let (_, secured) = tokio::join!(server.flush(), ours.secure(&client, &["localhost"], Hello::Large));
    let error = secured.expect_err("no TLS there");
    assert!(error.worth_a_small_hello(), "{error}");
    // The connection went with the handshake.
    assert!(ours.fill(IDLE).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_ends() {
    let clock = clock();
    let (tls, client) = parties(&["localhost"], &clock, TlsVersion::V1_2);
    let (mut server, ours) = pair(&tls);
    assert!(matches!(server.upgrade().await, Err(Error::HandshakeLost)));
    drop(ours);
    let (server, mut ours) = pair(&tls);
    assert!(matches!(ours.secure(&client, &["localhost"], Hello::Large).await, Err(Error::HandshakeLost)));
    drop(server);
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake_on() {
    let clock = clock();
    let (tls, old) = parties(&["localhost"], &clock, TlsVersion::V1_2);
    let fresh = LocalCa::create(&["localhost"], clock.now()).expect("fine");
    tls.certificates().replace("localhost", vec![fresh.server().expect("its own key")]);
    let (_, _, verdict) = meet(&tls, &old, &["localhost"], Hello::Large).await;
    assert_eq!(verdict, Verdict::Unverified(Unverified::UnknownIssuer));
}

/// Each name gets its own; no name, and one that none has, get the default.
#[tokio::test]
async fn the_name_that_is_asked_for_chooses() {
    let clock = clock();
    let shared: SharedClock = clock.clone();
    let made = |names: &[&str]| LocalCa::create(names, clock.now()).expect("fine");
    let all = [made(&["mail.a.test"]), made(&["pickup.b.test"]), made(&["*.c.test"]), made(&["mail.a.test"])];
    let servers: Vec<_> = all.iter().map(|ca| ca.server().expect("own")).collect();
    let offered = Certificates::new("PICKUP.b.test", servers[..3].to_vec());
    let tls = ServerTls::new(offered, TlsVersion::V1_2, &[], &shared).expect("usable");
    let trust = |n: usize| {
        let roots = trust_from_pem(all[n].ca.as_bytes()).expect("PEM");
        TlsClient::trusting_only(&roots, &shared).expect("usable")
    };
    for (asked, shown, verified) in [
        ("mail.a.test", 0, true),
        ("MAIL.a.test", 0, true),
        ("pickup.b.test", 1, true),
        ("x.c.test", 2, true),
        ("c.test", 1, false),
        ("x.y.c.test", 1, false),
        ("other.test", 1, false),
        // An address is never sent as a name.
        ("127.0.0.1", 1, false),
    ] {
        let (_, _, verdict) = meet(&tls, &trust(shown), &[asked], Hello::Large).await;
        let wrong = Verdict::Unverified(Unverified::WrongName);
        let want = if verified { Verdict::Verified { name: asked.into() } } else { wrong };
        assert_eq!(verdict, want, "{asked}");
    }
    assert_eq!(servers[2].dns_names(), ["*.c.test"]);
}

/// An ACME server that asks by ALPN sees the challenge; nobody else does, and nothing is there without one.
#[tokio::test]
async fn a_challenge_is_shown_to_its_alpn_only() {
    let clock = clock();
    let shared: SharedClock = clock.clone();
    let ca = LocalCa::create(&["a.test"], clock.now()).expect("fine");
    let challenge = LocalCa::create(&["a.test"], clock.now()).expect("fine");
    let tls = ServerTls::new(&ca.server().expect("own"), TlsVersion::V1_2, &[b"h2", ACME_ALPN], &shared);
    let tls = tls.expect("usable");
    let roots = |ca: &LocalCa| trust_from_pem(ca.ca.as_bytes()).expect("PEM");
    let usual = TlsClient::trusting_only(&roots(&ca), &shared).expect("usable");
    let acme = TlsClient::trusting_only(&roots(&challenge), &shared).expect("usable").speaking(&[ACME_ALPN]);
    let (mut server, mut ours) = pair(&tls);
    let (accepted, found) = tokio::join!(server.upgrade(), ours.secure(&acme, &["a.test"], Hello::Large));
    assert!(accepted.is_err() && found.is_err(), "no challenge is open");
    tls.certificates().challenge("A.test", &challenge.server().expect("own"));
    let (_, _, verdict) = meet(&tls, &acme, &["a.test"], Hello::Large).await;
    assert_eq!(verdict, Verdict::Verified { name: "a.test".into() });
    let (_, _, verdict) = meet(&tls, &usual, &["a.test"], Hello::Large).await;
    assert_eq!(verdict, Verdict::Verified { name: "a.test".into() });
    tls.certificates().forget("a.test");
    let (mut server, mut ours) = pair(&tls);
    let (accepted, found) = tokio::join!(server.upgrade(), ours.secure(&acme, &["a.test"], Hello::Large));
    assert!(accepted.is_err() && found.is_err(), "the challenge is over");
}

#[test]
fn files_that_cannot_be_used_say_why() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a place for files");
    let write = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        path
    };
    let a = LocalCa::create(&["localhost"], clock().now()).expect("fine");
    let b = LocalCa::create(&["localhost"], clock().now()).expect("fine");
    let certificate = write("a.pem", &a.certificate, 0o644);
    let key = write("a.key", a.key.expose(), 0o600);
    ServerCertificate::load(&certificate, &key).expect("they belong together");
    let open = write("open.key", a.key.expose(), 0o644);
    let other = write("b.key", b.key.expose(), 0o600);
    let empty = write("empty", "", 0o600);
    let missing = dir.path().join("missing");
    for (certificate, key, says) in [
        (&missing, &key, "no such file"),
        (&certificate, &missing, "no such file"),
        (&empty, &key, "no certificate"),
        (&certificate, &empty, "no private key"),
        (&certificate, &other, "does not belong"),
        (&certificate, &open, "everybody"),
        (&certificate, &certificate, "everybody"),
    ] {
        let error = ServerCertificate::load(certificate, key).expect_err("can't be used").to_string();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}
