//! Lines, limits and timeouts of a connection.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sealpost_model::{Client, Protocol};
use sealpost_net::{Error, Line, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const IDLE: Duration = Duration::from_secs(300);

fn stream() -> (Stream, DuplexStream) {
    let (a, b) = tokio::io::duplex(1 << 20);
    let client = Client { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 1, protocol: Protocol::Imap, tls: None };
    (Stream::memory(a, client, None), b)
}

fn whole(text: &[u8]) -> Line {
    Line::Whole(text.into())
}

#[tokio::test]
async fn lines_come_whole_whatever_the_cut() {
    let (mut stream, mut peer) = stream();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        for _ in 0..3 {
            got.push(stream.read_line(100, IDLE).await.expect("a line"));
        }
        (got, stream)
    });
    for byte in b"one\r\ntwo\n\r\nrest" {
        peer.write_all(&[*byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    let (got, stream) = reader.await.expect("no panic");
    assert_eq!(got, [whole(b"one\r\n"), whole(b"two\n"), whole(b"\r\n")]);
    let _ = stream;
}

/// A line that comes byte by byte has no longer than silence has, and one without end is cut.
#[tokio::test(start_paused = true)]
async fn a_line_has_its_time_and_its_end() {
    let (mut stream, mut peer) = stream();
    let dripping = tokio::spawn(async move {
        while peer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(200)).await;
        }
    });
    let began = tokio::time::Instant::now();
    assert!(matches!(stream.read_line(100, IDLE).await, Err(Error::Idle)));
    assert_eq!(began.elapsed(), IDLE);
    drop(stream);
    dripping.await.expect("ended");

    let (mut stream, mut peer) = self::stream();
    let flood = tokio::spawn(async move { while peer.write_all(&[b'x'; 65_536]).await.is_ok() {} });
    assert!(matches!(stream.read_line(100, IDLE).await, Err(Error::Endless)));
    drop(stream);
    flood.await.expect("ended");
}

#[tokio::test]
async fn a_line_too_long_is_gone_and_the_next_is_not() {
    let (mut stream, mut peer) = stream();
    let long = [&vec![b'x'; 200_000][..], b"\r\nnext\r\n"].concat();
    peer.write_all(&long).await.expect("sent");
    assert_eq!(stream.read_line(10, IDLE).await.expect("noticed"), Line::TooLong);
    assert_eq!(stream.read_line(10, IDLE).await.expect("a line"), whole(b"next\r\n"));
    peer.write_all(b"12345678\r\n123456789\r\n").await.expect("sent");
    assert_eq!(stream.read_line(10, IDLE).await.expect("fits"), whole(b"12345678\r\n"));
    assert_eq!(stream.read_line(10, IDLE).await.expect("noticed"), Line::TooLong);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_and_loses_nothing() {
    let (mut stream, mut peer) = stream();
    peer.write_all(b"ha").await.expect("sent");
    assert!(matches!(stream.read_line(100, IDLE).await, Err(Error::Idle)));
    peer.write_all(b"lf\r\n").await.expect("sent");
    assert_eq!(stream.read_line(100, IDLE).await.expect("a line"), whole(b"half\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_read_loses_nothing() {
    let (mut stream, mut peer) = stream();
    peer.write_all(b"par").await.expect("sent");
    tokio::select! {
        biased;
        _ = stream.read_line(100, IDLE) => panic!("no line yet"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    peer.write_all(b"tial\r\nliteral").await.expect("sent");
    assert_eq!(stream.read_line(100, IDLE).await.expect("a line"), whole(b"partial\r\n"));
    assert_eq!(&stream.take_buffered(3)[..], b"lit");
    stream.consume(1);
    assert_eq!(stream.buffered(), b"ral");
    assert_eq!(stream.fill(IDLE).await.expect("there"), b"ral");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_given_up() {
    let (a, b) = tokio::io::duplex(16);
    let client = Client { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 1, protocol: Protocol::Imap, tls: None };
    let mut stream = Stream::memory(a, client, None);
    stream.write(&[0; 100]).await.expect("queued");
    assert!(matches!(stream.flush().await, Err(Error::Stalled)));
    drop(b);
}

#[tokio::test]
async fn the_end_of_input_is_told() {
    let (mut stream, mut peer) = stream();
    peer.write_all(b"unfinished").await.expect("sent");
    peer.shutdown().await.expect("shut");
    assert!(matches!(stream.read_line(100, IDLE).await, Err(Error::Closed)));
    stream.write(b"bye\r\n").await.expect("queued");
    stream.close().await;
    let mut got = String::new();
    peer.read_to_string(&mut got).await.expect("read");
    assert_eq!(got, "bye\r\n");
}

#[tokio::test]
async fn it_serves_libraries_as_well() {
    let (mut stream, mut peer) = stream();
    peer.write_all(b"line\r\nrest").await.expect("sent");
    assert_eq!(stream.read_line(100, IDLE).await.expect("a line"), whole(b"line\r\n"));
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).await.expect("buffered bytes first");
    assert_eq!(&buf, b"rest");
    stream.write(b"queued ").await.expect("queued");
    AsyncWriteExt::write_all(&mut stream, b"then direct").await.expect("sent");
    AsyncWriteExt::flush(&mut stream).await.expect("sent");
    let mut got = [0; 18];
    peer.read_exact(&mut got).await.expect("read");
    assert_eq!(&got, b"queued then direct");
}
