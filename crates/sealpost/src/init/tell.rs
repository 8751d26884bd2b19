//! What is shown once: links, the recovery kit on paper, DNS records, and what to do next.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::plan::Plan;
use super::{Args, Shown, ask};

/// Prints it all. On a terminal each part of the kit waits for its reader.
pub(super) fn tell(file: &Path, plan: &Plan, shown: &Shown, args: &Args) -> Result<()> {
    if args.json {
        let people: Vec<_> = shown
            .people
            .iter()
            .map(|(address, link)| json!({"address": address.to_string(), "link": link}))
            .collect();
        let records: Vec<_> = records(plan)
            .into_iter()
            .map(|(name, kind, value)| json!({"name": name, "type": kind, "value": value}))
            .collect();
        let next = next(file, plan, shown);
        return crate::print(&format!(
            "{}\n",
            json!({
                "config": file,
                "people": people,
                "recovery": {"needed": plan.needed, "shares": shown.files},
                "dns": records,
                "next": next,
            })
        ));
    }
    if args.answers.is_none() {
        for (number, share) in (1..).zip(&shown.shares) {
            crate::print(&format!("\n{}\n", paper(number, shown.shares.len(), share)))?;
            ask::pause("Write or print this part, then press Enter: it is not shown again. ")?;
        }
    }
    let mut out = format!("\nMade {} and all that belongs to it.\n\n", file.display());
    writeln!(out, "Who answers for security:\n")?;
    for (person, (address, link)) in plan.people.iter().zip(&shown.people) {
        writeln!(out, "  {}  {address}  {}", person.name, person.contact)?;
        match link {
            Some(link) => writeln!(out, "    {link}")?,
            None => writeln!(out, "    with the password that was given")?,
        }
    }
    if shown.people.iter().any(|(_, link)| link.is_some()) {
        out += "\nGive each link to its person, and to nobody else: it works once, for an hour from now, and sets their\n\
                password. Later, or if somebody else was faster: `sealpost user setup-link ADDRESS`.\n";
    }
    if !shown.files.is_empty() {
        writeln!(out, "\nThe recovery kit, {} of {} parts:\n", plan.needed, plan.shares)?;
        for path in &shown.files {
            writeln!(out, "  {}", path.display())?;
        }
        out += "\nGive each part to another person, then remove the files from this machine.\n";
    }
    writeln!(out, "\nDNS records of {}:\n", plan.domain)?;
    for (name, kind, value) in records(plan) {
        writeln!(out, "  {name}  {kind:4} {value}")?;
    }
    out += "\nNext:\n";
    for (number, step) in (1..).zip(next(file, plan, shown)) {
        writeln!(out, "  {number}. {step}")?;
    }
    crate::print(&out)
}

/// A part of the recovery kit as it is kept: it says what it is, what it is for, and what to do with it.
pub(super) fn paper(number: usize, of: usize, share: &str) -> String {
    let line = "-".repeat(72);
    let share = share.trim_end();
    format!(
        "{line}\n\
         Sealpost recovery kit, part {number} of {of}\n\n\
         {share}\n\n\
         Keep this part on paper, away from the other parts and from the server's backups.\n\
         Enough parts together bring back the master key: `sealpost key recover`.\n\
         One part alone tells nothing.   Given to: ______________________________\n\
         {line}\n"
    )
}

fn records(plan: &Plan) -> Vec<(String, &'static str, String)> {
    let (host, domain) = (&plan.hostname, &plan.domain);
    vec![
        (format!("{host}."), "A", "the public address of this server (AAAA for IPv6)".into()),
        ("the public address".into(), "PTR", format!("{host}.")),
        (format!("{domain}."), "MX", format!("10 {host}.")),
        (format!("{domain}."), "TXT", "\"v=spf1 mx -all\"".into()),
        (
            format!("_dmarc.{domain}."),
            "TXT",
            format!(
                "\"v=DMARC1; p=none; rua=mailto:postmaster@{domain}\"   (p=quarantine or reject once the reports look right)"
            ),
        ),
    ]
}

fn next(file: &Path, plan: &Plan, shown: &Shown) -> Vec<String> {
    let config = &plan.config;
    let mut steps = plan.notes.clone();
    if file == Path::new(crate::config::SYSTEM) {
        steps.push("sealpost check".into());
        steps.push("systemctl enable --now sealpost".into());
    } else {
        steps.push(format!("sealpost check --config {}", file.display()));
        steps.push(format!("sealpost serve --config {}", file.display()));
    }
    if shown.shares.is_empty() {
        steps.push(format!(
            "copy {} to a safe place, away from the backups: without it nobody can open this data, ever",
            plan.config.master_path().unwrap_or_default().display()
        ));
    } else {
        steps.push(
            "try the recovery kit with its keepers: `sealpost key drill`; check stays red until then".into(),
        );
    }
    steps.push(format!(
        "back up {} and the key ring {} to different places, and keep copies of the ring for four weeks at most",
        config.server.data.display(),
        config.keys.ring.display()
    ));
    steps.push(
        "put [audit] anchor on another host's disk if there is one: it proves that the log was not cut"
            .into(),
    );
    steps
}
