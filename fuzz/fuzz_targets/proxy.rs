//! PROXY headers: a header or not, never read past its end, and the same whatever follows it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::{MOST, Parsed, parse};

#[path = "../../crates/net/src/proxy.rs"]
#[allow(dead_code, reason = "the listener's part is not under test")]
mod proxy;

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Parsed::Need(n) => assert!(n > data.len() && n <= MOST),
        Parsed::Bad => {}
        Parsed::Header(header, length) => {
            assert!(length <= data.len() && length <= MOST);
            assert_eq!(parse(&data[..length]), Parsed::Header(header, length));
            for n in 0..length {
                assert!(matches!(parse(&data[..n]), Parsed::Need(need) if need <= length));
            }
        }
    }
});
