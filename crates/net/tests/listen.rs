//! Listeners: limits, implicit TLS, and the orderly end.

use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{Protocol, SharedClock, SystemClock, TlsVersion};
use sealpost_net::{
    Error, Gate, Hello, Limits, Line, Listener, LocalCa, Security, ServerTls, Stop, Stopper, Stream,
    TlsClient, Verdict, connect, trust_from_pem,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const IDLE: Duration = Duration::from_secs(30);

async fn open(security: Security, limits: Limits) -> Listener {
    let addr = "127.0.0.1:0".parse().expect("an address");
    Listener::bind(addr, Protocol::Smtp, security, Gate::new(limits)).await.expect("bound")
}

/// Says back each line until stop.
async fn echo(mut stream: Stream, stop: Stop) {
    loop {
        let line = tokio::select! {
            line = stream.read_line(100, IDLE) => line,
            () = stop.stopping() => {
                let _ = stream.write(b"stopping\r\n").await;
                break;
            }
        };
        let Ok(Line::Whole(line)) = line else { break };
        if stream.write(&line).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    stream.close().await;
}

#[tokio::test]
async fn serves_until_stop_and_finishes() {
    let listener = open(Security::Plain, Limits::default()).await;
    let addr = listener.addr();
    let (stopper, stop) = Stopper::new(Duration::from_secs(60));
    let serving = tokio::spawn(listener.serve(stop, echo));
    let mut stream = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
    stream.write(b"hello\r\n").await.expect("sent");
    stream.flush().await.expect("sent");
    assert_eq!(stream.read_line(100, IDLE).await.expect("echo"), Line::Whole(b"hello\r\n"[..].into()));
    stopper.stop();
    assert_eq!(stream.read_line(100, IDLE).await.expect("told"), Line::Whole(b"stopping\r\n"[..].into()));
    serving.await.expect("ended");
    assert!(matches!(connect(addr, None, Protocol::System, IDLE).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let listener = open(Security::Plain, Limits::default()).await;
    let addr = listener.addr();
    let (stopper, stop) = Stopper::new(Duration::from_millis(50));
    let serving = tokio::spawn(listener.serve(stop, |stream, _| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    }));
    let mut peer = TcpStream::connect(addr).await.expect("connected");
    stopper.stop();
    serving.await.expect("ended");
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap_or(0), 0, "still open");
}

#[tokio::test]
async fn beyond_the_limit_is_turned_away_and_places_come_back() {
    let listener = open(Security::Plain, Limits { total: 10, per_peer: 2 }).await.busy(b"421 too many\r\n");
    let addr = listener.addr();
    let (stopper, stop) = Stopper::new(IDLE);
    let serving = tokio::spawn(listener.serve(stop, echo));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
        stream.write(b"in\r\n").await.expect("sent");
        stream.flush().await.expect("sent");
        assert_eq!(stream.read_line(100, IDLE).await.expect("echo"), Line::Whole(b"in\r\n"[..].into()));
        held.push(stream);
    }
    let mut third = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
    assert_eq!(third.read_line(100, IDLE).await.expect("told"), Line::Whole(b"421 too many\r\n"[..].into()));
    assert!(third.read_line(100, IDLE).await.is_err());
    held.pop().expect("two").close().await;
    // The place comes back once the server saw the end; until then there is another 421.
    loop {
        let mut again = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
        again.write(b"in\r\n").await.expect("sent");
        let _ = again.flush().await;
        if again.read_line(100, IDLE).await.ok() == Some(Line::Whole(b"in\r\n"[..].into())) {
            break;
        }
    }
    stopper.now();
    serving.await.expect("ended");
}

#[tokio::test]
async fn implicit_tls_and_a_panic_that_stays_alone() {
    let clock: SharedClock = Arc::new(SystemClock);
    let ca = LocalCa::create(&["127.0.0.1"], clock.now()).expect("fine");
    let tls = ServerTls::new(&ca.server().expect("own"), TlsVersion::V1_2, &[b"h2", b"http/1.1"], &clock);
    let listener = open(Security::Implicit(tls.expect("usable")), Limits::default()).await;
    let addr = listener.addr();
    let (stopper, stop) = Stopper::new(IDLE);
    let serving = tokio::spawn(listener.serve(stop, |mut stream, _| async move {
        let line = stream.read_line(100, IDLE).await.expect("a line");
        assert_ne!(line, Line::Whole(b"panic\r\n"[..].into()));
        stream.write(b"ok\r\n").await.expect("sent");
        stream.close().await;
    }));
    let client =
        TlsClient::trusting_only(&trust_from_pem(ca.ca.as_bytes()).expect("PEM"), &clock).expect("usable");
    for (say, answer) in [("panic\r\n", None), ("go on\r\n", Some(Line::Whole(b"ok\r\n"[..].into())))] {
        let mut stream = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
        let (_, verdict) = stream.secure(&client, &["127.0.0.1"], Hello::Large).await.expect("handshake");
        assert_eq!(verdict, Verdict::Verified { name: "127.0.0.1".into() });
        stream.write(say.as_bytes()).await.expect("sent");
        stream.flush().await.expect("sent");
        assert_eq!(stream.read_line(100, IDLE).await.ok(), answer);
    }
    stopper.stop();
    serving.await.expect("ended");
}

#[tokio::test]
async fn a_port_in_use_says_what_to_do() {
    let first = open(Security::Plain, Limits::default()).await;
    let gate = Gate::new(Limits::default());
    let error = Listener::bind(first.addr(), Protocol::Imap, Security::Plain, gate).await.expect_err("taken");
    assert!(error.to_string().contains("another program uses this port"), "{error}");
}
