//! What a stranger calls an export of the audit log, a checkpoint or a restore's line: a verdict, and never one that is
//! good, since nobody here has the key.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/audit/src/checkpoint.rs"]
#[allow(dead_code, reason = "only what verifies is under test")]
mod checkpoint;
#[path = "../../crates/audit/src/detail.rs"]
#[allow(dead_code, reason = "only what reads is under test")]
mod detail;
#[path = "../../crates/audit/src/export"]
#[allow(dead_code, unused_imports, reason = "only what verifies is under test")]
mod export {
    mod check;
    mod lines;
    pub use check::verify;
    pub(crate) use lines::*;
}
#[path = "../../crates/audit/src/leaf.rs"]
mod leaf;
#[path = "../../crates/audit/src/object.rs"]
#[allow(dead_code, reason = "only what reads is under test")]
mod object;
#[path = "../../crates/audit/src/restored_line.rs"]
#[allow(dead_code, reason = "only what reads is under test")]
mod restored_line;
#[path = "../../crates/audit/src/spine.rs"]
mod spine;
#[path = "../../crates/audit/src/verb.rs"]
#[allow(dead_code, reason = "only what reads is under test")]
mod verb;
#[path = "../../crates/audit/src/words.rs"]
mod words;

fuzz_target!(|data: &[u8]| {
    let report = export::verify(data, None).expect("memory can be read");
    assert!(!report.is_sound());
    let _ = report.to_string();
    let text = String::from_utf8_lossy(data);
    assert_eq!(checkpoint::verify(&[1; 32], &text), None);
    let _ = checkpoint::parse_verifier(&text);
    if let Some(said) = restored_line::Break::parse(&text) {
        assert_eq!(said.print(), text);
    }
    let _ = (object::decode(data), detail::Detail::parse(data));
});
