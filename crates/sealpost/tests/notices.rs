//! Whoever has to know of a change hears of it by mail (S43, S49).

use std::path::Path;

use anyhow::Result;
use sealpost_testkit::{Server, harness::code::until};

#[test]
fn a_second_person_is_asked_by_mail_and_the_owner_told() -> Result<()> {
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_sealpost")))?;
    let admin = server.user("admin")?;
    // An organisation with a HIPAA domain wants two people for somebody else's password.
    let words = ["user", "password", "carol@clinic.test", "--password-stdin", "--as", "admin@clinic.test"];
    let asked = server.run(&words, &format!("{}\nplum orbit kettle ninety\n", admin.password))?;
    let said = asked.text() + &asked.stderr;
    assert!(said.contains("act approve"), "{said}");
    let subjects = |name: &str| -> Result<Vec<String>> {
        let mut imap = server.imap_as(name)?;
        imap.select("INBOX")?;
        imap.field("Subject")
    };
    until(|| Ok(subjects("sam")?.iter().any(|s| s.contains("second person")).then_some(())))?;
    assert!(!server.log().contains("could not be sent"), "{}", server.log());
    Ok(())
}
