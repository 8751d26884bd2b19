//! A backend that remembers what it was asked, and a client that follows a script.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealpost_crypto::Random;
use sealpost_model::{
    Address, Client, Clock, Id, ManualClock, Protocol, Secret, SharedClock, TenantId, Time, TlsVersion,
};
use sealpost_net::{Hello, Line, LocalCa, Rate, ServerTls, Stop, Stopper, Stream, TlsClient, trust_from_pem};
use sealpost_smtp::codec::{Enhanced, Reply};
use sealpost_smtp::session::{Arrived, Backend, Config, Kind, Sender, SignIn, converse};

/// A message that was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub from: String,
    pub to: Vec<String>,
    pub trace: String,
    pub body: String,
    pub signed_in: bool,
}

/// Two organisations: `clinic.test` has bob and carol, whose mailbox is full; `other.test` has olaf. Alice signs in with
/// the password `secret`, or is told that she needs an app password when it is `mine`. A message with the word REFUSE is
/// refused while it arrives, one with LATER when it is whole.
#[derive(Default)]
pub struct Clinic {
    pub kept: Mutex<Vec<Kept>>,
    pub asked: Mutex<Vec<String>>,
    /// Whether logins have been ended by an administrator.
    pub ended: AtomicBool,
}

pub struct Body {
    trace: String,
    bytes: Vec<u8>,
}

impl Backend for Clinic {
    type Login = String;
    type Body = Body;

    fn message_size(&self) -> u64 {
        10_000
    }

    async fn sign_in(
        &self,
        client: &Client,
        name: String,
        password: Secret<String>,
    ) -> Result<String, SignIn> {
        assert!(client.tls.is_some(), "a password was read without TLS");
        self.asked.lock().expect("alone").push(name.clone());
        match (name.as_str(), password.expose().as_str()) {
            ("alice@clinic.test", "secret") => Ok(name),
            ("alice@clinic.test", "mine") => Err(SignIn::AppPassword),
            ("busy@clinic.test", _) => Err(SignIn::Throttled(Duration::from_secs(90))),
            _ => Err(SignIn::Wrong),
        }
    }

    async fn still_valid(&self, _: &String) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    async fn sign_out(&self, _: &Client, login: String, why: &'static str) {
        self.asked.lock().expect("alone").push(format!("{login} {why}"));
    }

    async fn recipient(&self, sender: Sender<'_, String>, to: &Address) -> Result<TenantId, Reply> {
        if sender.login.is_some() {
            return Ok(TenantId::from_raw(1));
        }
        match to.key().as_str() {
            "bob@clinic.test" | "postmaster@clinic.test" => Ok(TenantId::from_raw(1)),
            "olaf@other.test" => Ok(TenantId::from_raw(2)),
            "carol@clinic.test" => Err(Reply::new(452, Enhanced(4, 2, 2), "full")),
            key if key.ends_with("@clinic.test") => {
                Err(Reply::new(550, Enhanced(5, 1, 1), "no such address"))
            }
            _ => Err(Reply::new(550, Enhanced(5, 7, 1), "no relaying")),
        }
    }

    async fn is_ours(&self, address: &Address) -> bool {
        address.key() == "postmaster@clinic.test"
    }

    fn begin(&self, _: Sender<'_, String>, _: TenantId, trace: String) -> Body {
        Body { trace, bytes: Vec::new() }
    }

    async fn write(&self, body: &mut Body, bytes: &[u8]) -> Result<(), Reply> {
        body.bytes.extend_from_slice(bytes);
        if body.bytes.len() as u64 > self.message_size() {
            return Err(Reply::new(552, Enhanced(5, 3, 4), "too large"));
        }
        if String::from_utf8_lossy(&body.bytes).contains("REFUSE") {
            return Err(Reply::new(550, Enhanced(5, 7, 1), "policy says no"));
        }
        Ok(())
    }

    async fn accept(&self, arrived: Arrived<'_, Self>) -> Result<String, Reply> {
        let body = String::from_utf8_lossy(&arrived.body.bytes).into_owned();
        if body.contains("LATER") {
            return Err(Reply::new(451, Enhanced(4, 3, 0), "the disk is full"));
        }
        self.kept.lock().expect("alone").push(Kept {
            from: arrived.sender.from.to_string(),
            to: arrived.to.iter().map(ToString::to_string).collect(),
            trace: arrived.body.trace,
            body,
            signed_in: arrived.sender.login.is_some(),
        });
        Ok("kept".into())
    }
}

/// A session over memory, and what its client needs.
pub struct Meeting {
    pub client: Stream,
    pub stopper: Stopper,
    pub config: Arc<Config<Clinic>>,
    pub task: tokio::task::JoinHandle<()>,
    roots: TlsClient,
}

impl Meeting {
    /// Opens a session at a door: `inbound`, `inbound behind a proxy`, `inbound without TLS`, `submission`, `submissions`.
    pub async fn at(door: &str) -> Self {
        let manual = Arc::new(ManualClock::new(Time::from_seconds(1_795_300_822)));
        let clock: SharedClock = manual.clone();
        let ca = LocalCa::create(&["mx.clinic.test"], manual.now()).expect("fine");
        let roots = trust_from_pem(ca.ca.as_bytes()).expect("PEM");
        let roots = TlsClient::trusting_only(&roots, &clock).expect("usable");
        let tls = ServerTls::new(&ca.server().expect("own"), TlsVersion::V1_2, &[], &clock).expect("usable");
        let (kind, tls) = match door {
            "inbound" | "inbound behind a proxy" | "inbound, two a minute" => (Kind::Inbound, Some(tls)),
            "inbound without TLS" => (Kind::Inbound, None),
            "submission" | "submissions" => (Kind::Submission, Some(tls)),
            other => panic!("no door {other:?}"),
        };
        let random = Random::danger_predictable(7);
        let mut config = Config::new(kind, "mx.clinic.test", Clinic::default(), clock, random);
        if door == "inbound, two a minute" {
            config.mails = Rate::per_minute(2);
        }
        let config = Arc::new(config);
        let (a, b) = tokio::io::duplex(256 << 10);
        let protocol = if kind == Kind::Inbound { Protocol::Smtp } else { Protocol::Submission };
        let from = Client { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), port: 4711, protocol, tls: None };
        let mut server = Stream::memory(a, from, tls);
        if door == "inbound behind a proxy" {
            server = server.trusted();
        }
        let mut client = Stream::memory(b, from, None);
        if door == "submissions" {
            let secured = client.secure(&roots, &["mx.clinic.test"], Hello::Large);
            let (accepted, secured) = tokio::join!(server.upgrade(), secured);
            accepted.expect("handshake");
            secured.expect("handshake");
        }
        let (stopper, stop) = Stopper::new(Duration::from_secs(10));
        let task = tokio::spawn(serve(server, Arc::clone(&config), stop));
        Self { client, stopper, config, task, roots }
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        self.client.write(bytes).await.expect("sent");
        self.client.flush().await.expect("sent");
    }

    /// The next line without its end, or none at the end of the connection.
    pub async fn hear(&mut self) -> Option<String> {
        match self.client.read_line(2000, Duration::from_secs(3600)).await {
            Ok(Line::Whole(line)) => {
                let line = String::from_utf8(line.to_vec()).expect("text");
                Some(line.strip_suffix("\r\n").expect("CRLF").to_owned())
            }
            Ok(Line::TooLong) => panic!("a reply line beyond 2,000 bytes"),
            Err(_) => None,
        }
    }

    pub async fn handshake(&mut self) -> bool {
        self.client.secure(&self.roots, &["mx.clinic.test"], Hello::Large).await.is_ok()
    }

    pub fn kept(&self) -> Vec<Kept> {
        self.config.backend.kept.lock().expect("alone").clone()
    }
}

async fn serve(stream: Stream, config: Arc<Config<Clinic>>, stop: Stop) {
    converse(stream, &config, stop).await;
}
