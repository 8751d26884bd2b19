//! What a form sends: small fields at once, or a multipart body field by field.

use std::time::Duration;

use axum::extract::multipart::{Field, Multipart};
use bytes::Bytes;
use tokio::time::timeout;

/// The fields of a small form, or of a query: the first of each name counts.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

/// Fields may hold passwords, codes and what a person wrote.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields(..)")
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

impl Fields {
    /// `application/x-www-form-urlencoded`; at most 64 fields.
    pub fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).take(64).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The value of a field; nothing when it wasn't sent.
    pub fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// A multipart form whose first field proved that it comes from our page; only [`crate::cx::Cx::upload`] makes one.
pub struct Upload {
    multipart: Multipart,
}

/// Why an upload could not be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It is larger than the route takes.
    TooLarge,
    /// It is not what a browser sends, or the browser went away.
    Malformed,
}

impl Upload {
    pub(crate) const fn new(multipart: Multipart) -> Self {
        Self { multipart }
    }

    /// The next field, in the order of the page.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn next(&mut self) -> Result<Option<Field<'_>>, Broken> {
        match timeout(PATIENCE, self.multipart.next_field()).await {
            Ok(field) => field.map_err(broken),
            Err(_) => Err(Broken::Malformed),
        }
    }
}

/// Reads a text field of at most `max` bytes.
///
/// # Errors
/// See [`Broken`].
pub async fn text(mut field: Field<'_>, max: usize) -> Result<String, Broken> {
    let mut bytes = Vec::new();
    while let Some(piece) = piece(&mut field).await? {
        if bytes.len() + piece.len() > max {
            return Err(Broken::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Broken::Malformed)
}

/// The next bytes of a field.
///
/// # Errors
/// See [`Broken`].
pub async fn piece(field: &mut Field<'_>) -> Result<Option<Bytes>, Broken> {
    match timeout(PATIENCE, field.chunk()).await {
        Ok(piece) => piece.map_err(broken),
        Err(_) => Err(Broken::Malformed),
    }
}

/// How long a browser may keep us waiting for the next bytes of a form.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

fn broken(error: axum::extract::multipart::MultipartError) -> Broken {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        Broken::TooLarge
    } else {
        Broken::Malformed
    }
}
