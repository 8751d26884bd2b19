//! A bucket: one object a body, under a random name that is never used again.
//!
//! ```text
//! PREFIX/blobs/ab/ab12..   32 hexadecimal digits; the frames of one body as in a pack, its index last
//! PREFIX/instance          whose bucket this is
//! ```
//!
//! An object is durable before its body's row commits; one without a row is found by a walk and goes after the grace.
//! Requests run in a runtime of their own, with few retries and an end to every wait: a bucket that hangs makes errors
//! that pass, and nothing else.

mod address;
mod http;
mod upload;
mod words;

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt as _, RetryConfig};
use sealpost_crypto::Random;
use sealpost_model::{Secret, Time};
use tokio::runtime::Runtime;

use crate::{Error, Result, job};
use address::Address;
use http::Connector;

pub(crate) use upload::Upload;

/// An object's random name.
pub(crate) type Name = [u8; 16];

/// How often a request is tried again.
const TRIES: usize = 3;

/// A bucket that can be asked.
pub(crate) struct Bucket {
    store: Arc<AmazonS3>,
    address: Address,
    random: Random,
    runtime: Option<Runtime>,
}

/// A name in hexadecimal digits.
pub(crate) fn hex(name: &Name) -> String {
    name.iter().map(|b| format!("{b:02x}")).collect()
}

/// The name in these digits.
fn unhex(text: &str) -> Option<Name> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digits = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(digits).collect();
    bytes?.try_into().ok()
}

impl Bucket {
    /// Reads the address; asks nothing yet. `patience`: for one request, and for all tries of it together.
    pub(crate) fn new(
        url: &Secret<String>,
        random: Random,
        (one, all): (Duration, Duration),
    ) -> Result<Self> {
        let address = Address::parse(url)?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 3.0,
            },
            max_retries: TRIES,
            retry_timeout: all,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&address.bucket)
            .with_region(&address.region)
            .with_access_key_id(&address.key_id)
            .with_secret_access_key(address.secret.expose())
            .with_retry(retry)
            .with_http_connector(Connector::new(address.ca.as_deref(), one)?);
        if let Some(endpoint) = &address.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let store = builder.build().map_err(|e| words::of(&e, &address.bucket))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-bucket")
            .enable_all()
            .build()
            .map_err(|e| Error::Io(format!("no threads for the bucket: {e}")))?;
        Ok(Self { store: Arc::new(store), address, random, runtime: Some(runtime) })
    }

    fn path(&self, name: &Name) -> Path {
        let hex = hex(name);
        Path::from(format!("{}blobs/{}/{hex}", self.address.prefix, &hex[..2]))
    }

    /// A name that nobody has.
    pub(crate) fn fresh_name(&self) -> Name {
        self.random.bytes()
    }

    /// Runs a request in the bucket's runtime.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or(Error::Closed)?;
        match runtime.spawn(request).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(words::of(&error, &self.address.bucket)),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Whose bucket this is: writes `own` when nobody's, and answers what stands there.
    pub(crate) async fn claim(&self, own: String) -> Result<String> {
        let (store, path) = (self.store.clone(), Path::from(format!("{}instance", self.address.prefix)));
        self.ask(async move {
            match store.get(&path).await {
                Ok(found) => Ok(String::from_utf8_lossy(&found.bytes().await?).into_owned()),
                Err(object_store::Error::NotFound { .. }) => {
                    store.put(&path, own.clone().into_bytes().into()).await?;
                    Ok(own)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// That it is the bucket of the instance `own`: what another one keeps there must not be collected here.
    pub(crate) async fn verify(&self, own: String) -> Result<()> {
        if self.claim(own.clone()).await? == own {
            return Ok(());
        }
        let why = format!(
            "bucket {}: another Sealpost keeps its bodies under this address: give each a prefix of its own in [blobs] url",
            self.address.bucket
        );
        Err(Error::Bucket { why, lasting: true })
    }

    /// Writes an object; it is durable when this returns.
    pub(crate) async fn put(&self, name: &Name, bytes: Vec<u8>) -> Result<()> {
        let (store, path) = (self.store.clone(), self.path(name));
        self.ask(async move { store.put(&path, bytes.into()).await.map(drop) }).await
    }

    /// Bytes of an object; `None` when it is shorter, or missing.
    pub(crate) async fn get(&self, name: &Name, range: Range<u64>) -> Result<Option<Bytes>> {
        let (store, path) = (self.store.clone(), self.path(name));
        let wanted = range.end.saturating_sub(range.start);
        let got = self
            .ask(async move {
                match store.get_range(&path, range).await {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(object_store::Error::NotFound { source, .. })
                        if !source.to_string().contains("NoSuchBucket") =>
                    {
                        Ok(None)
                    }
                    Err(error) if error.to_string().contains("InvalidRange") => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(got.filter(|bytes| bytes.len() as u64 == wanted))
    }

    /// The same, waiting on this thread.
    pub(crate) fn get_blocking(&self, name: &Name, range: Range<u64>) -> Result<Option<Bytes>> {
        job::block_on(self.get(name, range))
    }

    /// Removes an object; one that is gone already is fine.
    pub(crate) async fn delete(&self, name: &Name) -> Result<()> {
        let (store, path) = (self.store.clone(), self.path(name));
        self.ask(async move {
            match store.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                done => done,
            }
        })
        .await
    }
}

/// An object as a list shows it.
pub(crate) struct Listed {
    pub(crate) name: Name,
    /// When the bucket took it, by the bucket's clock.
    pub(crate) taken: Time,
}

impl Bucket {
    /// Up to a thousand bodies' objects behind `after`, in order.
    pub(crate) async fn list(&self, after: Option<Name>) -> Result<Vec<Listed>> {
        let prefix = Path::from(format!("{}blobs", self.address.prefix));
        let (store, from) = (self.store.clone(), after.map(|name| self.path(&name)));
        self.ask(async move {
            let mut stream = match &from {
                Some(from) => store.list_with_offset(Some(&prefix), from),
                None => store.list(Some(&prefix)),
            };
            let mut found = Vec::new();
            while let Some(object) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                let object = object?;
                let taken = Time::from_millis(object.last_modified.timestamp_millis());
                found.extend(object.location.filename().and_then(unhex).map(|name| Listed { name, taken }));
                if found.len() >= 1_000 {
                    break;
                }
            }
            Ok(found)
        })
        .await
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
