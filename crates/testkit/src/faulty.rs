//! A way to a server that can be cut, or lead nowhere: for what happens when a peer fails or hangs.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Result;

/// What the way does to connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Way {
    /// Carries on.
    Open = 0,
    /// Closes each at once.
    Cut = 1,
    /// Takes what is sent and never answers.
    Silent = 2,
    /// Answers each request with an error of the server's.
    Failing = 3,
}

/// A proxy in front of one server.
pub struct Faulty {
    address: SocketAddr,
    way: Arc<AtomicU8>,
}

impl Faulty {
    /// Before the server at `to`.
    pub fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (address, way) = (listener.local_addr()?, Arc::new(AtomicU8::new(0)));
        let now = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let now = Arc::clone(&now);
                std::thread::spawn(move || drop(carry(client, to, &now)));
            }
        });
        Ok(Self { address, way })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that stand as well.
    pub fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }
}

fn carry(client: TcpStream, to: SocketAddr, way: &Arc<AtomicU8>) -> Result<()> {
    let server = TcpStream::connect(to)?;
    let back = (server.try_clone()?, client.try_clone()?);
    let now = Arc::clone(way);
    let there = std::thread::spawn(move || drop(pump(client, server, &now)));
    pump(back.0, back.1, way)?;
    let _ = there.join();
    Ok(())
}

/// Copies one direction, as long as the way is open.
fn pump(mut from: TcpStream, mut to: TcpStream, way: &AtomicU8) -> Result<()> {
    const ERROR: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut buffer = vec![0; 64 << 10];
    loop {
        let many = from.read(&mut buffer)?;
        let now = way.load(Ordering::SeqCst);
        if many == 0 || now == Way::Cut as u8 {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return Ok(());
        }
        if now == Way::Silent as u8 {
            continue;
        }
        if now == Way::Failing as u8 {
            let _ = from.write_all(ERROR);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return Ok(());
        }
        to.write_all(&buffer[..many])?;
    }
}
