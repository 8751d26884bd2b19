//! A wire-tapper between two hosts: passes bytes on, keeps them, and strips STARTTLS when told to.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;

/// A listener on a free loopback port; dropped, it takes no more connections.
pub struct Tap {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
}

impl Tap {
    /// Stands before `upstream`. With `strip`, the word STARTTLS never reaches the client (RFC 3207 section 6).
    pub fn before(upstream: SocketAddr, strip: bool) -> Result<Tap> {
        Self::new(upstream, strip, Vec::new())
    }

    /// Stands before `upstream` as a proxy does: says `header` first on each connection.
    pub fn proxy(upstream: SocketAddr, header: &[u8]) -> Result<Tap> {
        Self::new(upstream, false, header.to_vec())
    }

    fn new(upstream: SocketAddr, strip: bool, header: Vec<u8>) -> Result<Tap> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tap = Tap { at: listener.local_addr()?, heard: Arc::default(), over: Arc::default() };
        let (heard, over) = (tap.heard.clone(), tap.over.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(mut server) = TcpStream::connect(upstream) else { continue };
                if server.write_all(&header).is_err() {
                    continue;
                }
                let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let (one, other) = (heard.clone(), heard.clone());
                thread::spawn(move || pass(client, server, &one, false));
                thread::spawn(move || pass(server_too, client_too, &other, strip));
            }
        });
        Ok(tap)
    }

    /// Where clients connect.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// All that passed in either direction so far.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.at);
    }
}

/// One direction, until either side closes.
fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>, strip: bool) {
    let mut piece = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let Some(bytes) = piece.get_mut(..read) else { break };
        heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        if strip && let Some(at) = bytes.windows(8).position(|window| window == b"STARTTLS") {
            // Same length, so that the reply's form stays: an extension that nobody knows.
            bytes[at..at + 8].copy_from_slice(b"XXXXXXXX");
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
