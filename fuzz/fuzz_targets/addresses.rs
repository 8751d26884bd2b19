//! The value of an address field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_message::address::MAX_ADDRESSES;
use sealpost_message::parse_address_list;

fuzz_target!(|data: &[u8]| {
    let list = parse_address_list(data);
    assert!(list.len() <= MAX_ADDRESSES + 1);
    for entry in &list {
        entry.shown();
        if let Some(address) = entry.address() {
            // What passed as an address is one entry when it is written again.
            let again = parse_address_list(address.to_string().as_bytes());
            assert_eq!(again.len(), 1);
            assert!(again[0].address().as_ref() == Some(&address));
        }
    }
});
