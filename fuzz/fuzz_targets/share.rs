//! Shares of a recovery kit as people type them: read or refused, and what is read prints and reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_crypto::Share;

fuzz_target!(|text: &str| {
    if let Ok(share) = Share::parse(text) {
        assert_eq!(Share::parse(&share.text()).as_ref(), Ok(&share));
    }
    for number in 0..6 {
        let _ = Share::parse_line(number, text);
    }
});
