//! A header: read, decoded, changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_message::tags::{self, NO_PHI};
use sealpost_message::{EnvelopeFields, guard, headers, threads, words};

fuzz_target!(|header: &[u8]| {
    let covered: usize = headers::fields(header).map(|f| f.raw.len()).sum();
    assert!(covered <= header.len() && headers::end(header) <= header.len());
    for field in headers::fields(header) {
        let text = field.decoded();
        let written = headers::field("X", &text);
        assert_eq!(headers::fields(written.as_bytes()).count(), 1);
        assert!(guard::check(written.as_bytes()).is_ok());
        words::phrase(&text);
        threads::base_subject(&text);
        threads::message_ids(field.value);
    }
    let envelope = EnvelopeFields::read(header);
    assert!(EnvelopeFields::decode(&envelope.encode()).as_ref() == Ok(&envelope));
    envelope.sent();
    envelope.ancestors();

    let _ = tags::read(header, NO_PHI);
    let left = tags::remove(header, NO_PHI);
    assert!(matches!(tags::remove(&left, NO_PHI), std::borrow::Cow::Borrowed(_)));
    let stripped = tags::remove_headers(header);
    assert!(stripped.len() <= header.len());
});
