//! A bucket for tests: moto, which answers as S3 does, in a process of its own on a free port.
//!
//! moto keeps objects in memory, takes any key, and does not hold back what Object Lock should. What these tests show is
//! the conversation; what a real bucket refuses has to be seen at a real one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A running server with one bucket, `mail`.
pub struct Bucket {
    server: Child,
    address: SocketAddr,
}

const SERVER: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
";

/// moto wants to be told who asks, and believes it.
const WHO: &str = "Authorization: AWS4-HMAC-SHA256 Credential=tester/20260101/us-east-1/s3/aws4_request, \
                   SignedHeaders=host, Signature=0\r\n";

impl Bucket {
    /// Starts it. `lock` makes the bucket one with Object Lock.
    pub fn start(lock: bool) -> Result<Self> {
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("python3 is missing")?;
        let mut line = String::new();
        BufReader::new(server.stdout.take().context("no output")?).read_line(&mut line)?;
        let port = line.split_whitespace().nth(1).and_then(|port| port.parse::<u16>().ok());
        let Some(port) = port else {
            bail!("moto did not start: install tests/python/requirements.txt (cargo xtask test does)");
        };
        let bucket = Self { server, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let lock = if lock { "x-amz-bucket-object-lock-enabled: true\r\n" } else { "" };
        let made = bucket.ask("PUT", "/mail", lock)?;
        if !made.starts_with("HTTP/1.1 200") {
            bail!("no bucket: {made}");
        }
        Ok(bucket)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its `[blobs] url`, when asked at `address`; the secret key lies in `folder`.
    pub fn url(&self, folder: &std::path::Path, address: SocketAddr) -> Result<String> {
        let secret = folder.join("secret");
        std::fs::write(&secret, "not checked by moto")?;
        Ok(format!(
            "s3://mail/clinic?endpoint=http://{address}&region=us-east-1&access_key_id=tester&secret_file={}",
            secret.display()
        ))
    }

    /// The names of all objects.
    pub fn names(&self) -> Result<Vec<String>> {
        let list = self.ask("GET", "/mail?list-type=2", "")?;
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        Ok(keys.map(str::to_owned).collect())
    }

    /// Puts other bytes into an object, behind the store's back.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        let (host, length) = (self.address, bytes.len());
        write!(
            stream,
            "PUT /mail/{name} HTTP/1.1\r\nHost: {host}\r\n{WHO}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(bytes)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            bail!("{answer}");
        }
        Ok(())
    }

    /// One request; the whole answer.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let host = self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{WHO}{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
