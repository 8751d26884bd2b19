//! The courier against servers of every kind, over real sockets on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_crypto::Random;
use sealpost_delivery::{Evidence, Outcome};
use sealpost_model::{
    Address, Client, Domain, Id, Protocol, QueueId, ReversePath, SharedClock, SystemClock, TlsVersion,
};
use sealpost_net::dns::Fixed;
use sealpost_net::{Line, LocalCa, ServerTls, Stream, TlsClient, trust_from_pem};
use sealpost_policy::{Grade, Reason};
use tokio::net::TcpListener;

use super::Route;
use super::courier::Settings;
use super::letter::{Content, Letter};
use super::transfer::{Group, transfer};
use crate::codec::Unstuff;

/// What a server of others' does.
#[derive(Clone)]
struct Fake {
    greeting: &'static str,
    /// The reply to DATA.
    data: &'static str,
    starttls: Offer,
    extensions: &'static [&'static str],
    mail: &'static str,
    /// Replies to recipients by their local part; the rest is taken.
    rcpt: &'static [(&'static str, &'static str)],
    /// The reply to the body; empty closes the connection.
    end: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Tls,
    /// Not at all.
    Nothing,
    /// In EHLO only.
    Refused,
    /// Garbage where the handshake should be.
    Broken,
    /// It hangs up on a ClientHello of more than one packet.
    SmallOnly,
}

const FAKE: Fake = Fake {
    greeting: "220 mx.example ESMTP",
    data: "354 go",
    starttls: Offer::Tls,
    extensions: &["PIPELINING", "8BITMIME", "SIZE 10000"],
    mail: "250 2.1.0 ok",
    rcpt: &[],
    end: "250 2.0.0 queued as X",
};

/// What a server heard: whether it came encrypted, and the line or the body.
type Heard = Arc<Mutex<Vec<(bool, String)>>>;

struct World {
    port: u16,
    ca: LocalCa,
    clock: SharedClock,
    heard: Heard,
    dns: Fixed,
    routes: Vec<(Domain, Route)>,
}

impl World {
    /// Servers on 127.0.0.1, 127.0.0.2, ..., called `mx1.example`, ..., which share a port and a certificate for `names`;
    /// `outside.example` has them as its MX hosts in this order.
    async fn new(servers: &[Fake], names: &[&str]) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let ca = LocalCa::create(names, clock.now()).expect("fine");
        let tls = ServerTls::new(&ca.server().expect("own"), TlsVersion::V1_2, &[], &clock).expect("usable");
        let heard = Heard::default();
        let mut port = 0;
        let mut dns = Fixed::new();
        let mut hosts = Vec::new();
        for (n, fake) in servers.iter().enumerate() {
            let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, u8::try_from(n + 1).expect("few")));
            let listener = TcpListener::bind(SocketAddr::new(ip, port)).await.expect("bound");
            port = listener.local_addr().expect("bound").port();
            let (fake, tls, heard) = (fake.clone(), tls.clone(), Arc::clone(&heard));
            tokio::spawn(async move {
                loop {
                    let Ok((socket, _)) = listener.accept().await else { continue };
                    tokio::spawn(serve(socket, fake.clone(), tls.clone(), Arc::clone(&heard)));
                }
            });
            let name = format!("mx{}.example", n + 1);
            dns = dns.with_host(&name, &[ip]);
            hosts.push((u16::try_from(n).expect("few"), name));
        }
        let hosts: Vec<_> = hosts.iter().map(|(p, h)| (*p, h.as_str())).collect();
        let dns = dns.with_mx("outside.example", &hosts);
        Self { port, ca, clock, heard, dns, routes: Vec::new() }
    }

    async fn carry(self, floor: Grade, body: &[u8], to: &[&str]) -> (Vec<Outcome>, Vec<(bool, String)>) {
        let roots = trust_from_pem(self.ca.ca.as_bytes()).expect("PEM");
        let settings = Settings {
            resolver: Arc::new(self.dns),
            tls: TlsClient::trusting_only(&roots, &self.clock).expect("usable"),
            helo: "mx.clinic.test".into(),
            port: self.port,
            bind: Vec::new(),
            routes: self.routes,
            random: Random::danger_predictable(1),
        };
        let from = ReversePath::From(Address::parse("alice@clinic.test").expect("valid"));
        let letter = Letter::new(from, Bytes(body.to_vec()));
        let address = |text: &&str| Address::parse(text).expect("valid");
        let domain = address(&to[0]).domain().clone();
        let to: Vec<_> =
            to.iter().enumerate().map(|(n, a)| (QueueId::from_raw(n as i64), address(a))).collect();
        let mut outcomes = transfer(&settings, &letter, Group { domain, floor, to: to.clone() }).await;
        outcomes.sort_by_key(|(id, _)| id.raw());
        assert_eq!(
            outcomes.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            to.iter().map(|(id, _)| *id).collect::<Vec<_>>()
        );
        let heard = self.heard.lock().expect("alone").clone();
        (outcomes.into_iter().map(|(_, o)| o).collect(), heard)
    }
}

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        // In small pieces, as a slow store would.
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?.min(start + 7);
        Some(self.0[start..end].to_vec())
    }
}

async fn serve(socket: tokio::net::TcpStream, fake: Fake, tls: ServerTls, heard: Heard) -> Option<()> {
    let idle = Duration::from_secs(20);
    let client = Client { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, protocol: Protocol::Smtp, tls: None };
    let mut peek = [0; 2000];
    let probe = socket.into_std().ok()?;
    let socket = tokio::net::TcpStream::from_std(probe.try_clone().ok()?).ok()?;
    let mut stream = Stream::tcp(socket, client, Some(tls));
    say(&mut stream, fake.greeting).await?;
    loop {
        let Ok(Line::Whole(line)) = stream.read_line(1000, idle).await else { return None };
        let line = String::from_utf8(line.to_vec()).ok()?.trim_end().to_owned();
        heard.lock().ok()?.push((stream.tls().is_some(), line.clone()));
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        match verb {
            "EHLO" => {
                let mut lines = vec!["mx.example"];
                lines.extend(fake.extensions);
                if fake.starttls != Offer::Nothing && stream.tls().is_none() {
                    lines.push("STARTTLS");
                }
                let last = lines.pop()?;
                for line in lines {
                    say(&mut stream, &format!("250-{line}")).await?;
                }
                say(&mut stream, &format!("250 {last}")).await?;
            }
            "STARTTLS" => match fake.starttls {
                Offer::Refused => say(&mut stream, "454 4.7.0 not today").await?,
                Offer::Broken => {
                    say(&mut stream, "220 go").await?;
                    stream.fill(idle).await.ok()?;
                    say(&mut stream, "500 what is this").await?;
                    return None;
                }
                offer => {
                    say(&mut stream, "220 go").await?;
                    if offer == Offer::SmallOnly {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        if probe.peek(&mut peek).ok()? > 1000 {
                            return None;
                        }
                    }
                    stream.upgrade().await.ok()?;
                }
            },
            "MAIL" => say(&mut stream, fake.mail).await?,
            "RCPT" => {
                let local = line.split_once('<')?.1.split_once('@')?.0;
                let reply = fake.rcpt.iter().find(|(l, _)| *l == local).map_or("250 2.1.5 ok", |(_, r)| r);
                say(&mut stream, reply).await?;
            }
            "DATA" => {
                say(&mut stream, fake.data).await?;
                if !fake.data.starts_with("354") {
                    continue;
                }
                let (mut decoder, mut body) = (Unstuff::new(), Vec::new());
                loop {
                    let step = decoder.feed(stream.fill(idle).await.ok()?, &mut body);
                    stream.consume(step.consumed);
                    if step.done {
                        break;
                    }
                }
                assert_eq!(decoder.broken(), None);
                heard
                    .lock()
                    .ok()?
                    .push((stream.tls().is_some(), String::from_utf8_lossy(&body).into_owned()));
                if fake.end.is_empty() {
                    return None;
                }
                say(&mut stream, fake.end).await?;
            }
            "QUIT" => {
                say(&mut stream, "221 bye").await?;
                return Some(());
            }
            _ => say(&mut stream, "250 ok").await?,
        }
    }
}

async fn say(stream: &mut Stream, line: &str) -> Option<()> {
    stream.write(format!("{line}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

/// An outcome in a word, with its evidence.
fn word(outcome: &Outcome) -> (&'static str, &Evidence) {
    match outcome {
        Outcome::Delivered { grade, evidence } => (grade.word(), evidence),
        Outcome::Unfit { reason, evidence } => (reason.name(), evidence),
        Outcome::Retry { evidence, .. } => ("retry", evidence),
        Outcome::Rejected { reason: Reason::DomainTakesNoMail, evidence } => ("takes no mail", evidence),
        Outcome::Rejected { evidence, .. } => ("rejected", evidence),
        Outcome::Waiting | Outcome::Done => panic!("not by SMTP"),
    }
}

fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(|o| word(o).0).collect()
}

const BODY: &[u8] = b"Subject: x\r\n\r\n.dot\r\nlast line without an end";
const PAT: &[&str] = &["pat@outside.example"];
const NAMES: &[&str] = &["mx1.example", "mx2.example", "mx3.example"];

#[tokio::test]
async fn a_verified_server_gets_the_message() {
    let world = World::new(&[FAKE], NAMES).await;
    let (outcomes, heard) =
        world.carry(Grade::WebpkiMx, BODY, &["pat@outside.example", "kim@outside.example"]).await;
    assert_eq!(words(&outcomes), ["webpki-mx", "webpki-mx"]);
    let evidence = word(&outcomes[0]).1;
    assert_eq!(evidence.host, "mx1.example [127.0.0.1]");
    assert_eq!((evidence.tls.as_str(), evidence.cipher.as_str()), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"));
    assert_eq!(evidence.verified, "certificate for mx1.example, the name in unsigned DNS");
    assert_eq!(evidence.reply, "250 2.0.0 queued as X");
    let lines: Vec<_> = heard.iter().map(|(tls, l)| (*tls, l.as_str())).collect();
    assert_eq!(
        lines,
        [
            (false, "EHLO mx.clinic.test"),
            (false, "STARTTLS"),
            (true, "EHLO mx.clinic.test"),
            (true, "MAIL FROM:<alice@clinic.test> SIZE=44 BODY=8BITMIME"),
            (true, "RCPT TO:<pat@outside.example>"),
            (true, "RCPT TO:<kim@outside.example>"),
            (true, "DATA"),
            (true, "Subject: x\r\n\r\n.dot\r\nlast line without an end\r\n"),
            (true, "QUIT"),
        ]
    );
}

/// S17, S18: whatever is wrong with a server's encryption, not even the envelope is told.
#[tokio::test]
async fn below_the_floor_nothing_is_said() {
    let cases: &[(Offer, &[&str], &str)] = &[
        (Offer::Nothing, NAMES, "the server offers no encryption (STARTTLS)"),
        (Offer::Refused, NAMES, "the server offers encryption and then refuses it"),
        (Offer::Tls, &["other.example"], "the certificate is for another name"),
        (Offer::Broken, NAMES, "the TLS handshake failed: "),
    ];
    for (starttls, names, says) in cases {
        let world = World::new(&[Fake { starttls: *starttls, ..FAKE }], names).await;
        let (outcomes, heard) = world.carry(Grade::WebpkiMx, BODY, PAT).await;
        assert_eq!(words(&outcomes), ["transport-below-floor"], "{says}");
        let verified = &word(&outcomes[0]).1.verified;
        assert!(verified.starts_with(says), "{verified} is not {says}");
        assert!(
            heard.iter().all(|(_, l)| l.starts_with("EHLO") || l == "STARTTLS" || l == "QUIT"),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_below_the_floor() {
    let mut world = World::new(&[FAKE], NAMES).await;
    world.ca = LocalCa::create(NAMES, world.clock.now()).expect("fine");
    let (outcomes, _) = world.carry(Grade::WebpkiMx, BODY, PAT).await;
    assert_eq!(word(&outcomes[0]).1.verified, "the certificate comes from nobody we trust");
    // Unsigned DNS is never more than webpki-mx.
    let (outcomes, _) = World::new(&[FAKE], NAMES).await.carry(Grade::Webpki, BODY, PAT).await;
    assert_eq!(words(&outcomes), ["transport-below-floor"]);
}

/// A notice may go lower, and is called what it was.
#[tokio::test]
async fn a_lower_floor_takes_what_there_is() {
    for (starttls, names, floor, want) in [
        (Offer::Tls, &["other.example"][..], Grade::Tls, "tls"),
        (Offer::Tls, NAMES, Grade::Clear, "webpki-mx"),
        (Offer::Nothing, NAMES, Grade::Clear, "clear"),
        (Offer::Refused, NAMES, Grade::Clear, "clear"),
        (Offer::Broken, NAMES, Grade::Clear, "clear"),
        (Offer::Nothing, NAMES, Grade::Tls, "transport-below-floor"),
        (Offer::SmallOnly, NAMES, Grade::WebpkiMx, "webpki-mx"),
    ] {
        let world = World::new(&[Fake { starttls, ..FAKE }], names).await;
        let (outcomes, _) = world.carry(floor, BODY, PAT).await;
        assert_eq!(words(&outcomes), [want]);
    }
}

#[tokio::test]
async fn all_hosts_are_tried_before_a_verdict() {
    let below = Fake { starttls: Offer::Nothing, ..FAKE };
    let away = Fake { greeting: "421 4.3.2 not now", ..FAKE };
    let never = Fake { greeting: "554 5.3.2 no mail here", ..FAKE };
    let full = Fake { rcpt: &[("pat", "451 4.2.1 later")], ..FAKE };
    for (servers, want) in [
        (vec![below.clone(), FAKE], "webpki-mx"),
        (vec![away.clone(), FAKE], "webpki-mx"),
        (vec![full.clone(), FAKE], "webpki-mx"),
        (vec![below.clone(), away.clone()], "transport-below-floor"),
        (vec![away.clone(), below.clone()], "transport-below-floor"),
        (vec![below, full.clone()], "retry"),
        (vec![away, never], "retry"),
        (vec![full], "retry"),
    ] {
        let (outcomes, _) = World::new(&servers, NAMES).await.carry(Grade::WebpkiMx, BODY, PAT).await;
        assert_eq!(words(&outcomes), [want]);
    }
}

#[tokio::test]
async fn each_recipient_has_an_outcome_of_its_own() {
    let fake = Fake {
        rcpt: &[
            ("gone", "550 5.1.1 no such user"),
            ("busy", "450 4.2.0 greylisted"),
            ("big", "552 5.2.2 full"),
        ],
        ..FAKE
    };
    let to = &["gone@outside.example", "pat@outside.example", "busy@outside.example", "big@outside.example"];
    for extensions in [FAKE.extensions, &["8BITMIME"][..]] {
        let world = World::new(&[Fake { extensions, ..fake.clone() }], NAMES).await;
        let (outcomes, _) = world.carry(Grade::WebpkiMx, BODY, to).await;
        assert_eq!(words(&outcomes), ["rejected", "webpki-mx", "retry", "rejected"]);
        assert_eq!(word(&outcomes[0]).1.reply, "550 5.1.1 no such user");
        assert_eq!(word(&outcomes[2]).1.reply, "450 4.2.0 greylisted");
    }
}

#[tokio::test]
async fn replies_to_the_message_itself() {
    for (mail, end, want) in [
        ("250 ok", "554 5.7.1 spam", "rejected"),
        ("250 ok", "451 4.3.0 later", "retry"),
        ("250 ok", "552 5.3.4 too large", "transport-lacks-extension"),
        ("250 ok", "552 too much", "transport-lacks-extension"),
        ("250 ok", "", "retry"),
        ("250 ok", "nonsense", "retry"),
        ("550 5.7.1 not from you", "250 ok", "rejected"),
        ("451 4.7.1 not now", "250 ok", "retry"),
    ] {
        let world = World::new(&[Fake { mail, end, ..FAKE }], NAMES).await;
        let (outcomes, _) = world.carry(Grade::WebpkiMx, BODY, PAT).await;
        assert_eq!(words(&outcomes), [want], "{mail} {end}");
    }
}

#[tokio::test]
async fn only_the_end_of_the_body_delivers() {
    for (data, want) in [("250 ok", "retry"), ("450 4.3.0 later", "retry"), ("554 5.5.1 no", "rejected")] {
        let world = World::new(&[Fake { data, ..FAKE }], NAMES).await;
        let (outcomes, heard) = world.carry(Grade::WebpkiMx, BODY, PAT).await;
        assert_eq!(words(&outcomes), [want], "{data}");
        assert!(!heard.iter().any(|(_, l)| l.contains("Subject")));
    }
}

#[tokio::test]
async fn a_missing_extension_is_for_pickup() {
    let eight = "Subject: \u{e9}\r\n\r\n".as_bytes();
    for (extensions, body, want) in [
        (&["SIZE 10"][..], BODY, "transport-lacks-extension"),
        (&["SIZE"], BODY, "webpki-mx"),
        (&["SIZE 0"], BODY, "webpki-mx"),
        (&[], BODY, "webpki-mx"),
        (&["PIPELINING"], eight, "transport-lacks-extension"),
        (&["8BITMIME"], eight, "webpki-mx"),
    ] {
        let world = World::new(&[Fake { extensions, ..FAKE }], NAMES).await;
        let (outcomes, heard) = world.carry(Grade::WebpkiMx, body, PAT).await;
        assert_eq!(words(&outcomes), [want], "{extensions:?}");
        assert_eq!(heard.iter().any(|(_, l)| l.starts_with("MAIL")), want == "webpki-mx");
    }
}

#[tokio::test]
async fn domains_without_a_server() {
    for (domain, want) in [
        ("null.example", "takes no mail"),
        ("missing.example", "takes no mail"),
        ("down.example", "retry"),
        ("lost.example", "retry"),
    ] {
        let mut world = World::new(&[], NAMES).await;
        world.dns = std::mem::take(&mut world.dns)
            .with_mx("null.example", &[(0, "")])
            .with_mx("lost.example", &[(0, "nowhere.example")])
            .with_failure("down.example");
        let (outcomes, _) = world.carry(Grade::Clear, BODY, &[&format!("pat@{domain}")]).await;
        assert_eq!(words(&outcomes), [want], "{domain}");
    }
    // No MX: the domain's own address counts (RFC 5321 section 5.1), and its own name.
    let mut world = World::new(&[FAKE], &["bare.example"]).await;
    world.dns = std::mem::take(&mut world.dns).with_host("bare.example", &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let (outcomes, _) = world.carry(Grade::WebpkiMx, BODY, &["pat@bare.example"]).await;
    assert_eq!(words(&outcomes), ["webpki-mx"]);
}

#[tokio::test]
async fn a_route_is_pinned_when_its_certificate_matches() {
    for (names, host, want) in [
        (&["routed.example"][..], "127.0.0.1", "pinned"),
        (&["127.0.0.1"], "127.0.0.1", "pinned"),
        (&["mx1.example"], "mx1.example", "pinned"),
        (&["routed.example"], "mx1.example", "pinned"),
        (&["other.example"], "127.0.0.1", "transport-below-floor"),
    ] {
        let mut world = World::new(&[FAKE], names).await;
        let route = Route { host: host.into(), port: world.port };
        world.routes = vec![(Domain::parse("routed.example").expect("valid"), route)];
        let (outcomes, _) = world.carry(Grade::MtaSts, BODY, &["pat@routed.example"]).await;
        assert_eq!(words(&outcomes), [want], "{host}");
    }
}

#[tokio::test]
async fn many_recipients_go_in_several_transactions() {
    let to: Vec<String> = (0..250).map(|n| format!("p{n}@outside.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let (outcomes, heard) = World::new(&[FAKE], NAMES).await.carry(Grade::WebpkiMx, BODY, &to).await;
    assert!(words(&outcomes).iter().all(|w| *w == "webpki-mx"));
    assert_eq!(heard.iter().filter(|(_, l)| l.starts_with("MAIL")).count(), 3);
    assert_eq!(heard.iter().filter(|(_, l)| l == "STARTTLS").count(), 1);
}
