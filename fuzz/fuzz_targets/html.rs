//! HTML from a stranger: text of it, and what is shown holds nothing that acts or fetches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpost_message::html;

fuzz_target!(|data: &[u8]| {
    let Ok(page) = std::str::from_utf8(data) else { return };
    html::to_text(page);
    let clean = html::sanitize(page);
    for tag in clean.split('<').skip(1) {
        let name = tag.trim_start_matches('/').split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        assert!(!matches!(name, "script" | "style" | "img" | "iframe" | "svg" | "math" | "form" | "object" | ""), "{clean}");
    }
});
