//! Delivery status notifications without content (RFC 3464, RFC 3462, RFC 6522): they say what became of which recipient
//! in fixed words, and of the original nothing but its Message-ID. So they may travel where a message must not (S17).

use std::net::IpAddr;

use sealpost_model::{Address, Time};

use crate::compose::{Body, Head, Person};
use crate::notice::wrap;
use crate::{Error, threads};

/// What became of a recipient (`Action`, RFC 3464 section 2.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// It won't arrive.
    Failed,
    /// It hasn't arrived yet; tries go on until the time given.
    Delayed {
        /// The last try.
        until: Option<Time>,
    },
}

/// An enhanced status code (RFC 3463).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// 4 or 5.
    pub class: u8,
    /// Subject.
    pub subject: u16,
    /// Detail.
    pub detail: u16,
}

impl Status {
    /// `5.1.1` and such.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads `5.1.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = text.trim().split('.');
        let class = match pieces.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let mut number = || pieces.next().filter(|p| (1..=3).contains(&p.len())).and_then(|p| p.parse().ok());
        let (subject, detail) = (number()?, number()?);
        pieces.next().is_none().then_some(Self { class, subject, detail })
    }

    /// What it means, in fixed words.
    pub const fn words(self) -> &'static str {
        match (self.subject, self.detail) {
            (1, 1 | 6) => "There is no mailbox with this address.",
            (1, 2 | 10) => "The domain of this address does not exist or takes no mail.",
            (1, 3) => "The address is not valid.",
            (1, 7 | 8) => "The recipient's server does not accept the sender's address.",
            (2, 1) => "The mailbox is disabled.",
            (2, 2) => "The mailbox is full.",
            (2, 3) | (3, 4) => "The message is too large for the recipient's server.",
            (3, _) => "The recipient's server cannot take mail now.",
            (4, 6) => "The message went in circles between servers.",
            (4, 7) => "The recipient's server could not be reached in time.",
            (4, _) => "The recipient's server could not be reached.",
            (6, _) => "The recipient's server cannot handle this kind of message.",
            (7, 4..=7 | 10) => "The message could not be sent securely enough.",
            (7, _) => "The recipient's server refused the message by its policy.",
            _ => "The recipient's server refused the message.",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One recipient.
#[derive(Clone, Copy)]
pub struct Recipient<'a> {
    /// The address that was tried.
    pub address: &'a Address,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: Status,
    /// The server that said so.
    pub remote: Option<Remote<'a>>,
    /// The last try.
    pub tried: Option<Time>,
}

/// Who said no.
#[derive(Clone, Copy)]
pub struct Remote<'a> {
    /// Its name (from DNS or a route).
    pub host: &'a str,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The code of its reply, if there was one. Its text may quote the message and is left out.
    pub code: Option<u16>,
}

/// A notification.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Our host name.
    pub host: &'a str,
    /// Who it comes from: the domain's postmaster. Its envelope sender is empty (RFC 3464 section 2).
    pub from: Person<'a>,
    /// The sender of the original.
    pub to: &'a Address,
    /// When the original was taken.
    pub arrived: Option<Time>,
    /// The original's Message-ID with its angle brackets; one that isn't valid is left out.
    pub original_id: Option<&'a str>,
    /// What became of whom; at least one.
    pub recipients: &'a [Recipient<'a>],
    /// `Date`.
    pub date: Time,
    /// `Message-ID` with its angle brackets.
    pub message_id: &'a str,
    /// See [`Head::boundary`].
    pub boundary: &'a str,
}

/// Writes it.
///
/// # Errors
/// [`Error::Compose`] when Message-ID or boundary isn't one, or there is no recipient.
pub fn report(report: &Report<'_>) -> Result<Vec<u8>, Error> {
    if report.recipients.is_empty() {
        return Err(Error::Compose("an empty list of recipients"));
    }
    let failed = report.recipients.iter().any(|r| r.action == Action::Failed);
    let original = report.original_id.and_then(|id| threads::message_ids(id.as_bytes()).into_iter().next());
    let to = [Person { name: None, address: report.to }];
    let references: Vec<String> = original.iter().cloned().collect();
    let head = Head {
        from: report.from,
        to: &to,
        cc: &[],
        reply_to: None,
        subject: if failed { "Your message could not be delivered" } else { "Your message is delayed" },
        date: report.date,
        message_id: report.message_id,
        in_reply_to: original.as_deref(),
        references: &references,
        boundary: report.boundary,
    };
    let mut out = Vec::with_capacity(2048);
    let mut body = Body::with_fields(&head, &[("Auto-Submitted", "auto-replied")], &mut out)?;
    body.open("report", "; report-type=delivery-status");
    body.text("plain", &people(report, failed));
    body.raw("Content-Type: message/delivery-status\r\n", &machine(report));
    // RFC 6522 section 2: the third part is the original or its header; ours names the original and no more.
    let names = original.as_ref().map(|id| format!("Message-ID: {id}\r\n")).unwrap_or_default();
    body.raw("Content-Type: text/rfc822-headers\r\n", &names);
    body.finish();
    Ok(out)
}

/// The part for people.
fn people(report: &Report<'_>, failed: bool) -> String {
    let mut out = String::new();
    wrap(
        if failed {
            "Your message could not be delivered to everybody. It was not sent to these recipients, and nothing more \
             will be tried for them:"
        } else {
            "Your message could not be delivered yet. You need not send it again; we keep trying:"
        },
        &mut out,
    );
    for recipient in report.recipients {
        out.push_str(&format!(
            "\n  {}\n    {} ({})\n",
            recipient.address,
            recipient.status.words(),
            recipient.status
        ));
        if let Some(remote) = &recipient.remote {
            let code = remote.code.map(|c| format!(" answered {c}")).unwrap_or_default();
            out.push_str(&format!("    {}{code}\n", host(remote.host)));
        }
        if let Action::Delayed { until: Some(until) } = recipient.action {
            out.push_str(&format!("    Last try: {}\n", until.rfc5322()));
        }
    }
    out.push('\n');
    wrap(
        "This notification holds no part of your message. The message itself is where your mail program keeps what you sent.",
        &mut out,
    );
    out
}

/// `message/delivery-status` (RFC 3464 section 2).
fn machine(report: &Report<'_>) -> String {
    let mut out = format!("Reporting-MTA: dns; {}\r\n", host(report.host));
    if let Some(arrived) = report.arrived {
        out.push_str(&format!("Arrival-Date: {}\r\n", arrived.rfc5322()));
    }
    for recipient in report.recipients {
        let action = match recipient.action {
            Action::Failed => "failed",
            Action::Delayed { .. } => "delayed",
        };
        out.push_str(&format!(
            "\r\nFinal-Recipient: rfc822; {}\r\nAction: {action}\r\nStatus: {}\r\n",
            recipient.address, recipient.status
        ));
        if let Some(remote) = &recipient.remote {
            let ip = match remote.ip {
                Some(IpAddr::V4(ip)) => format!(" ([{ip}])"),
                Some(IpAddr::V6(ip)) => format!(" ([IPv6:{ip}])"),
                None => String::new(),
            };
            out.push_str(&format!("Remote-MTA: dns; {}{ip}\r\n", host(remote.host)));
            if let Some(code) = remote.code {
                out.push_str(&format!("Diagnostic-Code: smtp; {code} {}\r\n", recipient.status));
            }
        }
        if let Some(tried) = recipient.tried {
            out.push_str(&format!("Last-Attempt-Date: {}\r\n", tried.rfc5322()));
        }
        if let Action::Delayed { until: Some(until) } = recipient.action {
            out.push_str(&format!("Will-Retry-Until: {}\r\n", until.rfc5322()));
        }
    }
    out
}

/// A host name, whatever the peer called itself.
fn host(name: &str) -> String {
    let clean: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(*c)).take(255).collect();
    if clean.is_empty() { "unknown".into() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{guard, scan};

    fn compose(original_id: Option<&str>, action: Action) -> Vec<u8> {
        let postmaster = Address::parse("postmaster@clinic.test").unwrap();
        let pat = Address::parse("pat@outside.example").unwrap();
        report(&Report {
            host: "mail.clinic.test",
            from: Person { name: Some("Mail delivery"), address: &postmaster },
            to: &Address::parse("alice@clinic.test").unwrap(),
            arrived: Some(Time::from_seconds(0)),
            original_id,
            recipients: &[Recipient {
                address: &pat,
                action,
                status: Status::new(5, 1, 1),
                remote: Some(Remote {
                    host: "mx.outside\r\n.example",
                    ip: Some([192, 0, 2, 1].into()),
                    code: Some(550),
                }),
                tried: Some(Time::from_seconds(60)),
            }],
            date: Time::from_seconds(120),
            message_id: "<dsn@clinic.test>",
            boundary: "ddddddddddddd",
        })
        .unwrap()
    }

    #[test]
    fn says_it_to_machines() {
        let bytes = compose(Some("<orig@clinic.test>"), Action::Failed);
        assert_eq!(guard::check(&bytes), Ok(()));
        let scanned = scan(&bytes);
        assert_eq!(scanned.faults, crate::Faults::NONE);
        let root = &scanned.structure.root;
        assert!(root.is("multipart", "report"));
        assert_eq!(root.param("report-type").as_deref(), Some("delivery-status"));
        let types: Vec<_> = root.parts().iter().map(crate::Part::content_type).collect();
        assert_eq!(types, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
        assert_eq!(
            String::from_utf8_lossy(root.parts()[1].body.of(&bytes)),
            "Reporting-MTA: dns; mail.clinic.test\r\nArrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\n\
             Final-Recipient: rfc822; pat@outside.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.outside.example ([192.0.2.1])\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n\
             Last-Attempt-Date: Thu, 01 Jan 1970 00:01:00 +0000"
        );
        assert_eq!(root.parts()[2].body.of(&bytes), b"Message-ID: <orig@clinic.test>");
        assert_eq!(scanned.envelope.ancestors(), ["<orig@clinic.test>"]);
    }

    #[test]
    fn an_id_cannot_carry_text() {
        for id in ["<a b c>", "no id", "<\u{e9}@x>", "<a>\r\nSubject: secret"] {
            let bytes = compose(Some(id), Action::Delayed { until: None });
            assert_eq!(scan(&bytes).faults, crate::Faults::NONE, "{id}");
            assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        }
    }

    #[test]
    fn statuses() {
        assert_eq!(Status::parse("5.1.10"), Some(Status::new(5, 1, 10)));
        for bad in ["", "5", "5.1", "5.1.1.1", "3.1.1", "5.1.1000", "5.x.1", "5..1"] {
            assert_eq!(Status::parse(bad), None, "{bad}");
        }
    }
}
