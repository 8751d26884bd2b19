//! `s3://bucket/prefix?endpoint=..&region=..&access_key_id=..`: where a bucket is and who asks.

use std::path::PathBuf;

use sealpost_model::Secret;

use crate::{Error, Result};

/// A bucket's address, read once.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) bucket: String,
    /// Before each name; empty, or ending in `/`.
    pub(crate) prefix: String,
    /// `https://s3.example.org`; Amazon's own when left out.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    pub(crate) key_id: String,
    pub(crate) secret: Secret<String>,
    /// Certificates that are trusted beside the public ones, PEM.
    pub(crate) ca: Option<PathBuf>,
}

impl Address {
    /// Reads the URL, and the secret key from the file that it names or from `$AWS_SECRET_ACCESS_KEY`.
    pub(crate) fn parse(url: &Secret<String>) -> Result<Self> {
        let url = url.expose();
        let rest = url.strip_prefix("s3://").ok_or_else(|| wrong("it must begin with s3://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        let prefix = prefix.trim_matches('/');
        let mut address = Self {
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: None,
            region: "us-east-1".to_owned(),
            key_id: String::new(),
            secret: Secret::new(String::new()),
            ca: None,
        };
        let mut secret_file = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "endpoint" => address.endpoint = Some(value.trim_end_matches('/').to_owned()),
                "region" => address.region = value,
                "access_key_id" => address.key_id = value,
                "secret_file" => secret_file = Some(PathBuf::from(value)),
                "ca" => address.ca = Some(value.into()),
                other => return Err(wrong(&format!("it knows no `{other}`"))),
            }
        }
        if address.endpoint.as_ref().is_some_and(|e| !e.starts_with("https://") && !e.starts_with("http://"))
        {
            return Err(wrong("endpoint must begin with https:// (or http:// inside a trusted network)"));
        }
        if address.key_id.is_empty() {
            return Err(wrong("it says no access_key_id"));
        }
        address.secret = secret(secret_file)?;
        Ok(address)
    }
}

fn secret(file: Option<PathBuf>) -> Result<Secret<String>> {
    match file {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::new(text.trim().to_owned())),
            Err(e) => Err(wrong(&format!("secret_file {} can't be read: {e}", path.display()))),
        },
        None => match std::env::var("AWS_SECRET_ACCESS_KEY") {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(wrong(
                "give the secret key in the file that secret_file= names, or in AWS_SECRET_ACCESS_KEY",
            )),
        },
    }
}

fn wrong(why: &str) -> Error {
    Error::Bucket { why: format!("the address of the bucket is not right: {why}"), lasting: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(&Secret::new(url.to_owned()))
    }

    #[test]
    fn an_address_is_read_whole_or_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hush\n").unwrap();
        let file = file.display();
        let address = parse(&format!(
            "s3://mail/clinic/a/?endpoint=https%3A%2F%2Fs3.example.org/&region=eu-1&access_key_id=me&secret_file={file}"
        ))
        .unwrap();
        assert_eq!((address.bucket.as_str(), address.prefix.as_str()), ("mail", "clinic/a/"));
        assert_eq!(address.endpoint.as_deref(), Some("https://s3.example.org"));
        assert_eq!((address.region.as_str(), address.key_id.as_str()), ("eu-1", "me"));
        assert_eq!(address.secret.expose(), "hush");
        assert!(!format!("{address:?}").contains("hush"));
        for (url, word) in [
            ("https://mail".to_owned(), "s3://"),
            ("s3:///x?access_key_id=me".to_owned(), "no bucket"),
            (format!("s3://mail?secret_file={file}"), "access_key_id"),
            (format!("s3://mail?access_key_id=me&secret_file={file}&pass=1"), "`pass`"),
            (format!("s3://mail?access_key_id=me&secret_file={file}&endpoint=ftp://x"), "https://"),
            ("s3://mail?access_key_id=me&secret_file=/nowhere".to_owned(), "can't be read"),
        ] {
            let error = parse(&url).unwrap_err().to_string();
            assert!(error.contains(word), "{url}: {error}");
        }
    }
}
