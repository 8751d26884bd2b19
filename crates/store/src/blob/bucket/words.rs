//! What a bucket answered, in words that say what to do.

use crate::Error;

/// Sorts an error of `object_store`. Its own text has names and codes only: no keys, no content.
pub(super) fn of(error: &object_store::Error, bucket: &str) -> Error {
    let text = chain(error);
    let lasting = |why: &str| Error::Bucket { why: format!("bucket {bucket}: {why}"), lasting: true };
    let passing = |why: &str| Error::Bucket { why: format!("bucket {bucket}: {why}"), lasting: false };
    let has = |word: &str| text.contains(word);
    if has("NoSuchBucket") {
        lasting("there is no such bucket: make it, or correct [blobs] url")
    } else if has("RequestTimeTooSkewed") {
        lasting("the clocks of this host and of the bucket differ too much: set this host's clock by NTP")
    } else if has("InvalidAccessKeyId") || has("SignatureDoesNotMatch") {
        lasting(
            "it does not know the access key, or the secret key is another: correct access_key_id and secret_file",
        )
    } else if has("AuthorizationHeaderMalformed")
        || has("PermanentRedirect")
        || has("without LOCATION")
        || has("BareRedirect")
    {
        lasting("it is in another region: correct region in [blobs] url")
    } else if has("AccessDenied")
        || matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        )
    {
        lasting("it refuses this access key: give it the right to list, get, put and delete objects")
    } else if has("no answer in time") || has("no connection within") {
        passing("it does not answer in time; this is tried again")
    } else if has("Connection refused") || has("dns error") || has("failed to lookup") {
        passing("it can't be reached; this is tried again")
    } else {
        let code = text.split("<Code>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or("no code");
        passing(&format!("it failed ({code}); this is tried again"))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
