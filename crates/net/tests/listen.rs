//! Listeners: limits, implicit TLS, and the orderly end.

use std::sync::Arc;
use std::time::Duration;

use sealpost_model::{Protocol, SharedClock, SystemClock, TlsVersion};
use sealpost_net::{
    Error, Gate, Hello, Limits, Line, Listener, LocalCa, Proxies, Rate, Security, ServerTls, Stop, Stopper,
    Stream, TlsClient, Verdict, connect, trust_from_pem,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const IDLE: Duration = Duration::from_secs(30);

/// Tells each client who it is.
async fn who(mut stream: Stream, _: Stop) {
    let text = format!("{} {}\r\n", stream.client().ip, stream.client().port);
    let _ = stream.write(text.as_bytes()).await;
    let _ = stream.flush().await;
    if let Ok(Line::Whole(line)) = stream.read_line(100, IDLE).await {
        let _ = stream.write(&line).await;
    }
    stream.close().await;
}

async fn all(peer: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = peer.read_to_string(&mut text).await;
    text
}

/// Both families, both versions, in pieces, with the first words of the client in the same packet.
#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let addr = bind.parse().expect("an address");
        let gate = Gate::new(Limits { total: 10, per_peer: 1 });
        let listener =
            Listener::bind(addr, Protocol::Smtp, Security::Plain, gate.clone()).await.expect("bound");
        let loopback = ["127.0.0.0/8", "::1"].map(|n| n.parse().expect("a network")).to_vec();
        let listener = listener.behind(Arc::new(Proxies { header: loopback, xclient: Vec::new() }));
        let addr = listener.addr();
        let (stopper, stop) = Stopper::new(IDLE);
        let serving = tokio::spawn(listener.serve(stop, who));
        let four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\xc3\x50\0\x19";
        let six = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8"[..],
            &[0; 11],
            &[9],
            &[0; 16],
            b"\x01\0\0\x19",
        ]
        .concat();
        for (header, client) in [
            (&b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 25\r\n"[..], "192.0.2.7 50000"),
            (b"PROXY TCP6 2001:db8::9 ::1 256 25\r\n", "2001:db8::9 256"),
            (four, "192.0.2.7 50000"),
            (&six, "2001:db8::9 256"),
        ] {
            let whole = [header, b"hello\r\n"].concat();
            for piece in [1, 13, whole.len()] {
                let mut peer = TcpStream::connect(addr).await.expect("connected");
                peer.set_nodelay(true).expect("set");
                for part in whole.chunks(piece) {
                    peer.write_all(part).await.expect("sent");
                    tokio::task::yield_now().await;
                }
                assert_eq!(all(&mut peer).await, format!("{client}\r\nhello\r\n"), "{piece}");
            }
        }
        // Its own connection is its own.
        let mut peer = TcpStream::connect(addr).await.expect("connected");
        peer.write_all(b"PROXY UNKNOWN\r\nx\r\n").await.expect("sent");
        let text = all(&mut peer).await;
        assert!(text.starts_with(&addr.ip().to_string()) && text.ends_with("x\r\n"), "{text}");
        // One who says nothing, or something else, is nobody.
        for wrong in [&b"EHLO x\r\n"[..], b"PROXY TCP4 192.0.2.7\r\n", b"\x16\x03\x01\0\x05hello"] {
            let mut peer = TcpStream::connect(addr).await.expect("connected");
            peer.write_all(wrong).await.expect("sent");
            assert_eq!(all(&mut peer).await, "");
        }
        // The client's limit counts, not the proxy's.
        let mut held = Vec::new();
        for n in [1, 2, 1] {
            let mut peer = TcpStream::connect(addr).await.expect("connected");
            peer.write_all(format!("PROXY TCP4 192.0.2.{n} 10.0.0.1 5 25\r\n").as_bytes())
                .await
                .expect("sent");
            let mut first = [0; 1];
            held.push((peer.read(&mut first).await.unwrap_or(0), peer));
        }
        let let_in: Vec<_> = held.iter().map(|(n, _)| *n).collect();
        assert_eq!(let_in, [1, 1, 0]);
        assert_eq!(gate.meters().failed.count(), 3);
        stopper.now();
        serving.await.expect("ended");
    }
}

/// `[::]` is every address of the machine, of both families, and an IPv4 client is one.
#[tokio::test]
async fn the_unspecified_address_takes_both_families() {
    let addr = "[::]:0".parse().expect("an address");
    let listener = Listener::bind(addr, Protocol::Smtp, Security::Plain, Gate::new(Limits::default())).await;
    let listener = listener.expect("bound");
    let port = listener.addr().port();
    let serving = tokio::spawn(listener.serve(Stop::never(), who));
    for host in ["127.0.0.1", "::1"] {
        let mut peer = TcpStream::connect((host, port)).await.expect("connected");
        peer.write_all(b"x\r\n").await.expect("sent");
        assert!(all(&mut peer).await.starts_with(&format!("{host} ")), "{host}");
    }
    serving.abort();
}

/// Who is not trusted is who they are, whatever they say.
#[tokio::test]
async fn nobody_else_is_believed() {
    let listener = open(Security::Plain, Limits::default()).await;
    let other = vec!["192.0.2.0/24".parse().expect("a network")];
    let listener = listener.behind(Arc::new(Proxies { header: other.clone(), xclient: other }));
    let addr = listener.addr();
    let serving = tokio::spawn(listener.serve(Stop::never(), |stream, stop| async move {
        assert!(!stream.may_redirect());
        who(stream, stop).await;
    }));
    let mut peer = TcpStream::connect(addr).await.expect("connected");
    let mine = peer.local_addr().expect("bound");
    peer.write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 25\r\n").await.expect("sent");
    let want = format!("{} {}\r\nPROXY TCP4 192.0.2.7 10.0.0.1 50000 25\r\n", mine.ip(), mine.port());
    assert_eq!(all(&mut peer).await, want);
    serving.abort();
}

/// The hello comes in the header's packet, and TLS begins where the header ends.
#[tokio::test]
async fn tls_begins_behind_the_header() {
    let clock: SharedClock = Arc::new(SystemClock);
    let ca = LocalCa::create(&["127.0.0.1"], clock.now()).expect("fine");
    let tls = ServerTls::new(&ca.server().expect("own"), TlsVersion::V1_2, &[], &clock).expect("usable");
    let listener = open(Security::Implicit(tls), Limits::default()).await;
    let loopback = vec!["127.0.0.1".parse().expect("a network")];
    let listener = listener.behind(Arc::new(Proxies { header: loopback, xclient: Vec::new() }));
    let addr = listener.addr();
    let serving = tokio::spawn(listener.serve(Stop::never(), who));
    let client =
        TlsClient::trusting_only(&trust_from_pem(ca.ca.as_bytes()).expect("PEM"), &clock).expect("usable");
    let mut stream = connect(addr, None, Protocol::System, IDLE).await.expect("connected");
    stream.write(b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 993\r\n").await.expect("sent");
    stream.secure(&client, &["127.0.0.1"], Hello::Large).await.expect("handshake");
    assert_eq!(
        stream.read_line(100, IDLE).await.expect("told"),
        Line::Whole(b"192.0.2.7 50000\r\n"[..].into())
    );
    serving.abort();
}

/// A network that comes too often is turned away for a while.
#[tokio::test]
async fn too_many_a_minute_are_turned_away() {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let gate = Gate::paced(Limits::default(), Rate::per_minute(3));
    let listener = Listener::bind(addr, Protocol::Smtp, Security::Plain, gate.clone()).await.expect("bound");
    let loopback = vec!["127.0.0.1".parse().expect("a network")];
    let listener =
        listener.behind(Arc::new(Proxies { header: loopback, xclient: Vec::new() })).busy(b"421 slowly\r\n");
    let addr = listener.addr();
    let serving = tokio::spawn(listener.serve(Stop::never(), who));
    for (n, ip) in [1, 1, 1, 1, 2].into_iter().enumerate() {
        let mut peer = TcpStream::connect(addr).await.expect("connected");
        let header = format!("PROXY TCP4 192.0.2.{ip} 10.0.0.1 5 25\r\n");
        peer.write_all(header.as_bytes()).await.expect("sent");
        let mut line = [0; 14];
        let got = peer.read(&mut line).await.expect("told");
        let text = String::from_utf8_lossy(&line[..got]).into_owned();
        let want = if n == 3 { "421 slowly\r\n".to_owned() } else { format!("192.0.2.{ip} 5\r\n") };
        assert_eq!(text, want, "{n}");
    }
    assert_eq!(gate.meters().fast.count(), 1);
    serving.abort();
}

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
