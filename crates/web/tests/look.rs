//! Serves a clinic with sample mail for looking at its pages with a browser: `cargo test -p sealpost-web --test look --
//! --ignored`. Writes what a reader needs to `target/look.txt`, and stops when that file is removed.

#[path = "../../pickup/tests/stage/mod.rs"]
mod stage;

use std::net::SocketAddr;
use std::time::Duration;

use sealpost_model::{Protocol, TlsVersion};
use sealpost_net::{Gate, Limits, Listener, LocalCa, Security, ServerCertificate, ServerTls, Stopper};
use sealpost_web::{ALPN, Hosts, Services, Web};
use stage::{PAT, Stage, message};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for looking"]
async fn look() {
    let stage = Stage::new().await;
    let services = Services {
        identity: stage.identity.clone(),
        pickup: stage.pickup.clone(),
        clock: stage.clock.clone(),
        random: stage.random.clone(),
    };
    let web = Web::new(services, Hosts::new("https://localhost:8443", None, None).expect("an address"));
    let now = sealpost_model::Clock::now(&sealpost_model::SystemClock);
    let ca = LocalCa::create(&["localhost"], now).expect("a CA");
    let (chain, key) = (ca.certificate.as_bytes(), ca.key.expose().as_bytes());
    let certificate = ServerCertificate::from_pem(chain, key).expect("a certificate");
    let clock: sealpost_model::SharedClock = std::sync::Arc::new(sealpost_model::SystemClock);
    let tls = ServerTls::new(&certificate, TlsVersion::V1_2, ALPN, &clock).expect("TLS");
    let addr: SocketAddr = ([127, 0, 0, 1], 8443).into();
    let gate = Gate::new(Limits::default());
    let listener = Listener::bind(addr, Protocol::Web, Security::Implicit(tls), gate).await.expect("a port");
    let (stopper, stop) = Stopper::new(Duration::from_secs(1));
    let server = tokio::spawn(sealpost_web::serve(listener, web, stop));

    let mut out = String::new();
    for subject in ["a", "b", "c", "d"] {
        let (link, code) = stage.wait_for_pat(&format!("Your appointment on Tuesday ({subject})")).await;
        out.push_str(&format!("{link} {code}\n"));
    }
    let seen = stage.inbox().await.len();
    let body = include_str!("sample.txt");
    let head = format!(
        "Subject: Your blood results and the plan for December\nTo: Pat Poe <{PAT}>\nCc: Kim Lee <kim@outside.example>, bob@clinic.test\nContent-Type: multipart/mixed; boundary=a"
    );
    stage.send(&[PAT, "kim@outside.example"], &message(&head, body)).await;
    stage.until(async || stage.inbox().await.len() > seen && stage.outside.notices(PAT).len() > 4).await;
    let receipt = stage.inbox().await.pop().expect("a receipt").1;
    out.push_str(&format!("{} {}\n", stage.outside.link(PAT), stage::code_in(&receipt)));
    out.push_str(&receipt);
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/look.txt");
    std::fs::write(&file, out).expect("written");
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stopper.stop();
    let _ = server.await;
}
