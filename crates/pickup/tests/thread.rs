//! What goes between the people: replies, reply-all, Bcc, mail commands, the files, and what the journal keeps.

mod stage;

use sealpost_crypto::Code;
use sealpost_model::Flags;
use sealpost_pickup::{Browser, Guessed, Link, Opened, Opening, State};
use stage::{ALICE, PAT, Stage, client, code_in, message};

const KIM: &str = "kim@outside.example";

async fn opened(stage: &Stage, link: &Link, code: &str) -> Box<Opened> {
    let code = Code::parse(code).expect("six digits");
    let Guessed::Open(granted) =
        stage.pickup.guess(link, &code, &Browser::default(), &client()).await.expect("answers")
    else {
        panic!("the code is right")
    };
    match stage.pickup.opened(link, Some(&granted.session), &client()).await.expect("answers") {
        Opening::Open(opened) => opened,
        other => panic!("{other:?}"),
    }
}

/// Sends to several, and returns each one's link and code in the order given.
async fn several(stage: &Stage, to: &[&str], raw: &str) -> Vec<(Link, String)> {
    let seen = stage.inbox().await.len();
    let before: Vec<usize> = to.iter().map(|a| stage.outside.notices(a).len()).collect();
    stage.send(to, raw).await;
    let left = || to.iter().zip(&before).all(|(a, n)| stage.outside.notices(a).len() > *n);
    stage.until(async || left() && stage.inbox().await.len() > seen).await;
    let receipt = stage.inbox().await.pop().expect("a receipt").1;
    to.iter()
        .map(|a| {
            let at = receipt.find(&format!("\r\n{a}\r\n")).expect("named");
            (stage.outside.link(a), code_in(&receipt[at..]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lands_in_the_thread_as_a_secure_reply() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("Blood count").await;
    let opened = opened(&stage, &link, &code).await;
    let text = "Gracias, ¿qué significa?\n.\nFrom here on\n";
    let mut draft = stage.pickup.begin_reply(&opened, false, text, &client()).await.expect("begun");
    draft.attach("../Überweisung.pdf", "application/pdf; x=y").await.expect("attached");
    let file: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    for piece in file.chunks(977) {
        draft.write(piece).await.expect("taken");
    }
    draft.attach("evil.eml", "message/rfc822").await.expect("attached");
    draft.write(b"Subject: inner\r\n\r\nx").await.expect("taken");
    stage.pickup.send_reply(&opened, draft, &client()).await.expect("sent");

    let (flags, mail) = stage.inbox().await.pop().expect("a reply");
    assert!(flags.contains(Flags::SECURE_REPLY));
    let scanned = sealpost_message::scan(mail.as_bytes());
    assert_eq!(scanned.envelope.subject_text(), "Re: Blood count");
    assert_eq!(scanned.envelope.from[0].email().as_deref(), Some(PAT));
    assert_eq!(scanned.envelope.to[0].email().as_deref(), Some(ALICE));
    let original =
        stage.inbox().await.into_iter().find(|(f, _)| f.contains(Flags::RECEIPT)).expect("the receipt").1;
    let of = sealpost_message::scan(original.as_bytes()).envelope.in_reply_to;
    assert!(of.is_some() && scanned.envelope.in_reply_to == of, "one thread");
    let display = scanned.structure.display();
    let part = display.text[0].part;
    let body = sealpost_message::text::of(part, part.body.of(mail.as_bytes()));
    assert_eq!(body.replace("\r\n", "\n").trim_end(), text.trim_end());
    assert_eq!(display.attachments.len(), 2);
    let part = display.attachments[0].part;
    assert_eq!(sealpost_message::decode::bytes(part.transfer(), part.body.of(mail.as_bytes())), file);
    assert_eq!(part.content_type(), "application/pdf");
    let name = part.file_name().expect("a name");
    assert!(name.ends_with("Überweisung.pdf") && !name.contains('/'), "{name}");
    assert_eq!(display.attachments[1].part.content_type(), "application/octet-stream");

    let list = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list");
    assert_eq!(list[0].state, State::Replied);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_those_whom_the_message_shows_and_a_bcc_answers_alone() {
    let stage = Stage::new().await;
    let raw = message(
        &format!("Subject: team\nTo: Pat Poe <{PAT}>, {ALICE}\nCc: Kim <{KIM}>, bob@clinic.test"),
        "x\n",
    );
    let links = several(&stage, &[PAT, KIM, "lee@outside.example"], &raw).await;

    let pat = opened(&stage, &links[0].0, &links[0].1).await;
    let head = stage.pickup.reply_head(&pat, true, &client()).await.expect("a head");
    let to: Vec<_> = head.to.iter().map(|p| p.address.as_str()).collect();
    assert_eq!(to, [ALICE, KIM, "bob@clinic.test"]);
    assert!(stage.pickup.letter(&pat, &client()).await.expect("readable").reply_all);

    let lee = opened(&stage, &links[2].0, &links[2].1).await;
    assert!(!stage.pickup.letter(&lee, &client()).await.expect("readable").reply_all);
    assert_eq!(stage.pickup.reply_head(&lee, true, &client()).await.expect("a head").to.len(), 1);

    // Pat answers all: alice and bob get it, kim's copy waits, and alice is told kim's code.
    let (before, notices) = (stage.inbox().await.len(), stage.outside.notices(KIM).len());
    let draft = stage.pickup.begin_reply(&pat, true, "to all\n", &client()).await.expect("begun");
    stage.pickup.send_reply(&pat, draft, &client()).await.expect("sent");
    stage
        .until(async || stage.outside.notices(KIM).len() > notices && stage.inbox().await.len() == before + 2)
        .await;
    let inbox = stage.inbox().await;
    let (flags, mail) = &inbox[before];
    assert!(flags.contains(Flags::SECURE_REPLY));
    assert!(
        mail.contains("From: Pat Poe <pat@outside.example>")
            && mail.contains(&format!("Cc: Kim <{KIM}>, bob@clinic.test"))
    );
    let code = code_in(&inbox[before + 1].1);
    let kim = opened(&stage, &stage.outside.link(KIM), &code).await;
    let letter = stage.pickup.letter(&kim, &client()).await.expect("readable");
    assert_eq!((letter.from.address.as_str(), letter.text.trim()), (PAT, "to all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_html_and_the_message_itself() {
    let stage = Stage::new().await;
    let image = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
    let body = format!(
        "--a\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\n\n\
         <p onclick=x>Hi <b>you</b><script>alert(1)</script><img src=\"cid:pic\"><img src=\"https://track.test/x.gif\"></p>\n\
         --b\nContent-Type: image/gif\nContent-ID: <pic>\nContent-Transfer-Encoding: base64\n\n{image}\n--b--\n\
         --a\nContent-Type: text/csv; name=\"a b.csv\"\nContent-Disposition: attachment; filename=\"a b.csv\"\nContent-Transfer-Encoding: base64\n\n\
         YSxiCjEsMgo=\n--a--\n"
    );
    let raw = message(
        "Subject: [secure] files\nBcc: hidden@outside.example\nContent-Type: multipart/mixed; boundary=a",
        &body,
    );
    let (link, code) = several(&stage, &[PAT], &raw).await.remove(0);
    let opened = opened(&stage, &link, &code).await;
    let letter = stage.pickup.letter(&opened, &client()).await.expect("readable");
    assert_eq!(letter.subject, "files");
    assert!(letter.has_html && letter.text.contains("Hi you"));
    // The picture is inside the formatted text, and a file for whoever reads the plain one.
    let names: Vec<_> = letter.files.iter().map(|f| f.media_type.as_str()).collect();
    assert_eq!((names, letter.files[0].name.as_str()), (vec!["text/csv", "image/gif"], "a b.csv"));
    let html = stage.pickup.html(&opened, &client()).await.expect("readable").expect("html");
    assert!(html.contains("data:image/gif;base64,") && html.contains("<b>you</b>"), "{html}");
    for gone in ["script", "onclick", "track.test"] {
        assert!(!html.contains(gone), "{html}");
    }
    let mut file = stage.pickup.file(&opened, 1, &client()).await.expect("readable").expect("a file");
    assert_eq!(file.next().await.expect("readable"), Some(b"a,b\n1,2\n".to_vec()));
    assert_eq!(file.next().await.expect("readable"), None);
    assert!(stage.pickup.file(&opened, 3, &client()).await.expect("answers").is_none());
    assert!(stage.pickup.file(&opened, 0, &client()).await.expect("answers").is_none());
    let mut original = stage.pickup.original(&opened, &client()).await.expect("readable");
    let mut bytes = Vec::new();
    while let Some(piece) = original.next().await.expect("readable") {
        bytes.extend(piece);
    }
    assert_eq!(Some(bytes.len() as u64), original.size());
    let text = String::from_utf8(bytes).expect("ASCII");
    assert!(text.contains("Subject: files\r\n") && !text.contains("[secure]") && !text.contains("Bcc"));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_by_mail() {
    let stage = Stage::new().await;
    let (link, first) = stage.wait_for_pat("Blood count").await;
    let receipt = stage.inbox().await.pop().expect("a receipt").1;
    let at = receipt.find("sent+").expect("an address");
    let command = receipt[at..at + "sent+".len() + 26].to_owned() + "@clinic.test";
    let say = async |words: &str| {
        let seen = stage.inbox().await.len();
        stage.send(&[command.as_str()], &message("Subject: Re: Blood count", words)).await;
        stage.until(async || stage.inbox().await.len() > seen).await;
        stage.inbox().await.pop().expect("an answer").1
    };
    let answer = say("status\n").await;
    assert!(answer.contains("State: waiting") && answer.contains("Never opened"), "{answer}");
    let answer = say(&format!("Code {PAT}\n\n> quoted\n")).await;
    let code = code_in(&answer);
    let sent = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list");
    let codes_left =
        stage.pickup.sent(&stage.sender(), &sent[0].id).await.unwrap().unwrap().recipients[0].codes_left;
    assert_eq!(codes_left, 2);
    if code != first {
        let old = Code::parse(&first).expect("digits");
        assert!(matches!(
            stage.pickup.guess(&link, &old, &Browser::default(), &client()).await,
            Ok(Guessed::Wrong)
        ));
    }
    opened(&stage, &link, &code).await;
    assert!(say("what?\n").await.contains("no word that I know"));
    assert!(say("retract nobody@outside.example\n").await.contains("no such recipient"));
    assert!(say("retract\n").await.contains("access stopped at once"));
    assert_eq!(
        stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list")[0].state,
        State::Retracted
    );

    // Each answer that shows a code has a twin in the journal without it: nothing at rest but the mailbox has it.
    let codes = stage.inbox().await.into_iter().filter(|(_, t)| t.contains(&code)).count();
    assert_eq!(codes, 1);
}

/// The stage hands every batch over twice, as the worker does after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_again_make_no_second_copy() {
    let stage = Stage::new().await;
    let (link, code) = stage.wait_for_pat("x").await;
    let list = stage.pickup.sent_list(&stage.sender(), None, 10).await.expect("a list");
    assert_eq!((list.len(), list[0].total), (1, 1));
    assert_eq!((stage.outside.notices(PAT).len(), stage.inbox().await.len()), (1, 1));
    opened(&stage, &link, &code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_comes_back_is_told() {
    let stage = Stage::new().await;
    stage.send(&["nobody@outside.example"], &message("Subject: Blood count", "x\n")).await;
    stage.until(async || stage.inbox().await.iter().any(|(_, t)| t.contains("could not be delivered"))).await;
    let told = stage.inbox().await.pop().expect("mail").1;
    assert!(told.contains("Re: Blood count") && told.contains("nobody@outside.example"));
    let list = stage.pickup.sent_list(&stage.sender(), None, 1).await.expect("a list");
    let no_notice = async || {
        let sent = stage.pickup.sent(&stage.sender(), &list[0].id).await.expect("answers").expect("hers");
        sent.recipients[0].no_notice
    };
    stage.until(no_notice).await;
}
