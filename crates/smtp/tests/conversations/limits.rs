//! What is easier to say in code than in a dialogue.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::Meeting;

/// The limit of recipients, with the words of RFC 5321 section 4.5.3.1.10.
#[tokio::test]
async fn the_thousandth_recipient_is_the_last() {
    let mut meeting = Meeting::at("submissions").await;
    meeting
        .say(
            b"EHLO a\r\nAUTH PLAIN AGFsaWNlQGNsaW5pYy50ZXN0AHNlY3JldA==\r\nMAIL FROM:<alice@clinic.test>\r\n",
        )
        .await;
    for want in ["220 ", "250-", "250-", "250-", "250-", "250-", "250 AUTH", "235 ", "250 2.1.0"] {
        assert!(meeting.hear().await.expect("a line").starts_with(want));
    }
    for n in 0..1001 {
        meeting.say(format!("RCPT TO:<p{n}@example.com>\r\n").as_bytes()).await;
        let got = meeting.hear().await.expect("a line");
        assert!(got.starts_with(if n < 1000 { "250 2.1.5" } else { "452 4.5.3" }), "{n}: {got}");
    }
    meeting.say(b"DATA\r\n.\r\n").await;
    assert!(meeting.hear().await.expect("a line").starts_with("354"));
    assert!(meeting.hear().await.expect("a line").starts_with("250"));
    assert_eq!(meeting.kept()[0].to.len(), 1000);
}

/// Fifty strangers' guesses at names are enough.
#[tokio::test]
async fn harvesting_ends() {
    let mut meeting = Meeting::at("inbound").await;
    meeting.say(b"HELO a\r\nMAIL FROM:<>\r\n").await;
    for n in 0..51 {
        meeting.say(format!("RCPT TO:<guess{n}@clinic.test>\r\n").as_bytes()).await;
    }
    let mut lines = Vec::new();
    while let Some(line) = meeting.hear().await {
        lines.push(line);
    }
    assert_eq!(lines.iter().filter(|l| l.starts_with("550 5.1.1")).count(), 51);
    assert!(lines.last().expect("lines").starts_with("421 4.7.0"));
}

/// Pipelined commands are answered in one go, in order (RFC 2920 section 3.2).
#[tokio::test]
async fn a_whole_conversation_in_one_packet() {
    let mut meeting = Meeting::at("inbound").await;
    let all = b"EHLO a\r\nMAIL FROM:<x@y.z>\r\nRCPT TO:<bob@clinic.test>\r\nDATA\r\nhi\r\n.\r\nMAIL FROM:<x@y.z>\r\n\
        RCPT TO:<nobody@clinic.test>\r\nRCPT TO:<bob@clinic.test>\r\nDATA\r\nho\r\n.\r\nQUIT\r\n";
    meeting.say(all).await;
    let mut codes = Vec::new();
    while let Some(line) = meeting.hear().await {
        if line.as_bytes()[3] == b' ' {
            codes.push(line[..3].to_owned());
        }
    }
    assert_eq!(codes.join(" "), "220 250 250 250 354 250 250 550 250 354 250 221");
    let bodies: Vec<_> = meeting.kept().into_iter().map(|k| k.body).collect();
    assert_eq!(bodies, ["hi\r\n", "ho\r\n"]);
}

/// A line beyond the limit is refused and the session goes on.
#[tokio::test]
async fn a_line_without_end() {
    let mut meeting = Meeting::at("inbound").await;
    assert!(meeting.hear().await.expect("a line").starts_with("220"));
    meeting.say(&vec![b'a'; 100_000]).await;
    meeting.say(b"\r\nNOOP\r\n").await;
    assert!(meeting.hear().await.expect("a line").starts_with("500 5.5.2"));
    assert!(meeting.hear().await.expect("a line").starts_with("250"));
}

/// A message larger than the limit is read to its end, and refused in step.
#[tokio::test]
async fn a_message_too_large() {
    let mut meeting = Meeting::at("inbound").await;
    meeting.say(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@clinic.test>\r\nDATA\r\n").await;
    for want in ["220", "250", "250", "250", "354"] {
        assert!(meeting.hear().await.expect("a line").starts_with(want));
    }
    for _ in 0..1000 {
        meeting.say(b"0123456789012345678901234567890123456789\r\n").await;
    }
    meeting.say(b".\r\nNOOP\r\n").await;
    assert!(meeting.hear().await.expect("a line").starts_with("552 5.3.4"));
    assert!(meeting.hear().await.expect("a line").starts_with("250"));
    assert!(meeting.kept().is_empty());
}

/// A login that an administrator ended sends nothing more (S48), and the log hears how each session ended (S46).
#[tokio::test]
async fn an_ended_login_sends_nothing_more() {
    let mut meeting = Meeting::at("submissions").await;
    meeting.say(b"EHLO a\r\nAUTH PLAIN AGFsaWNlQGNsaW5pYy50ZXN0AHNlY3JldA==\r\nMAIL FROM:<alice@clinic.test>\r\nRSET\r\n").await;
    for want in ["220 ", "250-", "250-", "250-", "250-", "250-", "250 AUTH", "235 ", "250 2.1.0", "250 2.0.0"]
    {
        assert!(meeting.hear().await.expect("a line").starts_with(want));
    }
    meeting.config.backend.ended.store(true, Ordering::SeqCst);
    meeting.say(b"MAIL FROM:<alice@clinic.test>\r\n").await;
    assert!(meeting.hear().await.expect("a line").starts_with("421 4.7.0"));
    assert_eq!(meeting.hear().await, None);
    meeting.task.await.expect("no panic");
    let asked = meeting.config.backend.asked.lock().expect("alone").clone();
    assert_eq!(asked, ["alice@clinic.test", "alice@clinic.test cut"]);
}

/// A network that begins too many messages is asked to wait, and nothing of what it said is lost.
#[tokio::test(start_paused = true)]
async fn a_flood_of_mail_is_slowed() {
    let mut meeting = Meeting::at("inbound, two a minute").await;
    meeting.say(b"HELO a\r\n").await;
    for want in ["220 ", "250 "] {
        assert!(meeting.hear().await.expect("a line").starts_with(want));
    }
    for want in ["250 2.1.0", "250 2.1.0", "450 4.7.1 too much mail from your network; go on in 31 s"] {
        meeting.say(b"MAIL FROM:<x@y.z>\r\n").await;
        assert!(meeting.hear().await.expect("a line").starts_with(want), "{want}");
        meeting.say(b"RSET\r\n").await;
        assert!(meeting.hear().await.expect("a line").starts_with("250"));
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    meeting.say(b"MAIL FROM:<x@y.z>\r\n").await;
    assert!(meeting.hear().await.expect("a line").starts_with("250 2.1.0"));
}

/// Who connects to sign in and does not, byte by byte or not at all, is shown the door within minutes.
#[tokio::test(start_paused = true)]
async fn a_stranger_at_submission_has_minutes_not_hours() {
    let mut meeting = Meeting::at("submissions").await;
    assert!(meeting.hear().await.expect("a line").starts_with("220"));
    let began = tokio::time::Instant::now();
    let mut said = 0;
    let gone = loop {
        tokio::select! {
            line = meeting.hear() => break line.expect("words"),
            () = tokio::time::sleep(Duration::from_secs(15)) => {}
        }
        said += 1;
        meeting.say(if said % 3 == 0 { b"NOOP\r\n" } else { b" " }).await;
        if said % 3 == 0 {
            assert!(meeting.hear().await.expect("a line").starts_with("500"), "blanks in front of it");
        }
    };
    assert!(gone.starts_with("421 4.4.2"), "{gone}");
    assert!(began.elapsed() <= Duration::from_secs(181), "{:?}", began.elapsed());
}
