//! Carries out what policy has allowed.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use sealpost_audit::{Filter, Outcome, Record, Verb};
use sealpost_model::{Actor, Address, Domain, Id, PersonId, Protocol, QueueId, Secret, TenantId};
use sealpost_policy::{Roles, decide};
use serde_json::{Value, json};

use super::{Act, Peer, Reply};
use crate::instance::Instance;
use crate::people::{self, NewUser};

pub(super) async fn answer(instance: &Instance, peer: &Peer, act: Act) -> Result<Reply> {
    match act {
        Act::Status => status(instance).await,
        Act::UserList => user_list(instance, peer).await,
        Act::UserAdd { address, name, password, roles, app_password } => {
            let new = (Address::parse(&address)?, name, Secret::new(password), roles.into_iter().collect());
            user_add(instance, peer, new, app_password).await
        }
        Act::UserDisable { address } => {
            let person = person(instance, peer, &address).await?;
            instance.identity.disable(person, &peer.caller).await?;
            Ok(done(json!({"address": address}), format!("{address} can no longer sign in.\n")))
        }
        Act::UserPassword { address, password } => {
            let person = person(instance, peer, &address).await?;
            instance.identity.set_password(person, &Secret::new(password), &peer.caller).await?;
            let told = tenant(instance, peer).await?;
            people::tell_of_credential(instance, told, &address, "The password was set anew").await?;
            Ok(done(
                json!({"address": address}),
                format!("{address} has a new password; they and the security official are told.\n"),
            ))
        }
        Act::UserAppPassword { address, device } => {
            let person = person(instance, peer, &address).await?;
            let made = instance.identity.add_app_password(person, &device, &peer.caller).await?;
            let told = tenant(instance, peer).await?;
            people::tell_of_credential(instance, told, &address, "A password for a mail program was made")
                .await?;
            Ok(done(
                json!({"address": address, "app_password": made.expose()}),
                format!("{}\n", made.expose()),
            ))
        }
        Act::DomainList => domain_list(instance, peer).await,
        Act::DomainAdd { domain, hipaa } => {
            let name = Domain::parse(&domain)?;
            instance.identity.add_domain(tenant(instance, peer).await?, &name, hipaa, &peer.caller).await?;
            Ok(done(json!({"domain": domain, "hipaa": hipaa}), format!("{domain} is served now.\n")))
        }
        Act::QueueList => queue_list(instance, peer).await,
        Act::QueueRetry { id } => {
            let tenant = tenant(instance, peer).await?;
            if !instance.delivery.retry_now(tenant, QueueId::from_raw(id)).await? {
                bail!(
                    "there is no such row in the queue, or it is being tried just now; see `sealpost queue list`"
                );
            }
            Ok(done(json!({"id": id}), "It is tried now.\n".into()))
        }
        Act::PickupList => pickup_list(instance, peer).await,
        Act::PickupExpire { id, reason } => pickup_expire(instance, peer, &id, &reason).await,
        Act::LogList { server: true, .. } if peer.tenant.is_some() => {
            bail!("the server's own log belongs to whoever runs the host; leave --as out")
        }
        Act::LogList { limit, detail, verb, server } => {
            let log = if server { sealpost_audit::instance() } else { tenant(instance, peer).await? };
            log_list(instance, peer, log, limit, detail, verb).await
        }
    }
}

fn done(row: Value, text: String) -> Reply {
    Reply::Done { rows: vec![row], text }
}

/// The organisation that a request is about: the person's own, or the only one there is.
async fn tenant(instance: &Instance, peer: &Peer) -> Result<TenantId> {
    if let Some(tenant) = peer.tenant {
        return Ok(tenant);
    }
    match instance.identity.tenants().await?[..] {
        [one] => Ok(one),
        [] => bail!("there is no organisation yet; `sealpost init` makes the first"),
        _ => bail!("this server has several organisations; sign in to one with --as ADDRESS"),
    }
}

async fn person(instance: &Instance, peer: &Peer, address: &str) -> Result<PersonId> {
    let mine = tenant(instance, peer).await?;
    match instance.identity.person_at(&Address::parse(address)?).await? {
        Some((tenant, person)) if tenant == mine => Ok(person),
        _ => bail!("nobody has the address {address}; see `sealpost user list`"),
    }
}

async fn status(instance: &Instance) -> Result<Reply> {
    let tenants = instance.identity.tenants().await?;
    let mut queued = 0;
    for tenant in &tenants {
        queued += instance.delivery.queue(*tenant, None).await?.len();
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(done(
        json!({"version": version, "organisations": tenants.len(), "queued": queued}),
        format!("Sealpost {version}: {} organisation(s), {queued} message(s) in the queue.\n", tenants.len()),
    ))
}

async fn user_list(instance: &Instance, peer: &Peer) -> Result<Reply> {
    let tenant = tenant(instance, peer).await?;
    let (mut rows, mut text, mut after) = (Vec::new(), String::new(), None);
    loop {
        let page = instance.identity.people(tenant, after).await?;
        let Some(last) = page.last() else { return Ok(Reply::Done { rows, text }) };
        after = Some(last.id);
        for p in page {
            let roles: Vec<&str> = p.roles.iter().map(|r| r.word()).collect();
            let address = p.address.to_string();
            let state = if p.disabled { "  (disabled)" } else { "" };
            writeln!(text, "{address:40} {:28} {}{state}", p.name, roles.join(", "))?;
            rows.push(json!({"id": p.id, "address": address, "name": p.name, "roles": roles, "disabled": p.disabled}));
        }
    }
}

async fn user_add(
    instance: &Instance,
    peer: &Peer,
    (address, name, password, roles): (Address, String, Secret<String>, Roles),
    app_password: Option<String>,
) -> Result<Reply> {
    for role in roles.iter() {
        decide::give_role(peer.roles, role)?;
    }
    let facts = instance.identity.domain(address.domain()).await?;
    let tenant = facts.map(|f| f.tenant).filter(|t| peer.tenant.is_none_or(|mine| mine == *t));
    let tenant = tenant.with_context(|| {
        format!(
            "{} is not a domain of this server; add it with `sealpost domain add {}`",
            address.domain(),
            address.domain()
        )
    })?;
    let shown = address.to_string();
    let person =
        people::add(instance, NewUser { tenant, address, name, password, roles }, &peer.caller).await?;
    let Some(device) = app_password else {
        return Ok(done(json!({"address": shown}), format!("{shown} can sign in now.\n")));
    };
    let made = instance.identity.add_app_password(person, &device, &peer.caller).await?;
    let made = made.expose();
    Ok(done(json!({"address": shown, "app_password": made}), format!("{made}\n")))
}

async fn domain_list(instance: &Instance, peer: &Peer) -> Result<Reply> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for (domain, facts) in instance.identity.domains(tenant(instance, peer).await?).await? {
        let (name, floor) = (domain.as_str(), facts.policy().effective_floor().word());
        writeln!(text, "{name:40} {}  floor {floor}", if facts.hipaa { "HIPAA    " } else { "not HIPAA" })?;
        rows.push(json!({"domain": name, "hipaa": facts.hipaa, "floor": floor}));
    }
    Ok(Reply::Done { rows, text })
}

async fn queue_list(instance: &Instance, peer: &Peer) -> Result<Reply> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for q in instance.delivery.queue(tenant(instance, peer).await?, None).await? {
        let (method, due) = (q.method.word(), q.due.rfc3339());
        let state = if q.sending { "sending" } else { "waiting" };
        writeln!(text, "{:>12}  {method:8} {state}  tried {} time(s), next {due}", q.id, q.attempt)?;
        rows.push(json!({"id": q.id, "submission": q.submission, "method": method, "state": state, "attempts": q.attempt, "due": due}));
    }
    if rows.is_empty() {
        text.push_str("Nothing waits to leave.\n");
    }
    Ok(Reply::Done { rows, text })
}

async fn log_list(
    instance: &Instance,
    peer: &Peer,
    log: TenantId,
    limit: usize,
    detail: bool,
    verb: Option<String>,
) -> Result<Reply> {
    let verb = match verb {
        Some(word) => {
            Some(Verb::parse(&word).with_context(|| format!("the log knows no act called {word}"))?)
        }
        None => None,
    };
    let filter = Filter { limit, verb, ..Filter::default() };
    let page = instance.audit.list(&peer.caller, peer.roles, log, &filter).await?;
    let (mut rows, mut text) = (Vec::new(), String::new());
    for mut r in page.records.into_iter().rev() {
        if !detail {
            (r.client, r.notes) = (None, Vec::new());
        }
        let r = &r;
        writeln!(text, "{}", log_line(r))?;
        rows.push(log_row(r));
    }
    Ok(Reply::Done { rows, text })
}

/// An entry as a line. What is sealed is there only if the reader may see it.
fn log_line(r: &Record) -> String {
    let objects: Vec<String> = r.objects.iter().map(|o| format!("{}:{}", o.kind.word(), o.id)).collect();
    let notes: Vec<String> = r
        .notes
        .iter()
        .map(|(name, text)| if name.is_empty() { text.clone() } else { format!("{name}={text}") })
        .collect();
    let client = r.client.as_ref().map_or(String::new(), |c| format!(" from {}", c.ip));
    format!(
        "{} {:>6} {:16} {:8} {:10} {}{client} {} {}",
        r.at.rfc3339(),
        r.position.map_or("-".into(), |p| p.to_string()),
        r.verb.map_or("?", Verb::word),
        r.outcome.map_or("?", Outcome::word),
        r.protocol.map_or("?", Protocol::word),
        r.actor.map_or("?".into(), actor_word),
        r.reason,
        objects.into_iter().chain(notes).collect::<Vec<_>>().join(" "),
    )
    .trim_end()
    .to_owned()
}

fn log_row(r: &Record) -> Value {
    json!({
        "id": r.id,
        "position": r.position,
        "at": r.at.rfc3339(),
        "actor": r.actor.map(actor_word),
        "owner": r.owner,
        "protocol": r.protocol.map(Protocol::word),
        "verb": r.verb.map(Verb::word),
        "outcome": r.outcome.map(Outcome::word),
        "reason": r.reason,
        "objects": r.objects.iter().map(|o| format!("{}:{}", o.kind.word(), o.id)).collect::<Vec<_>>(),
        "client": r.client.as_ref().map(|c| c.ip.to_string()),
        "notes": r.notes,
    })
}

fn actor_word(actor: Actor) -> String {
    match actor {
        Actor::Person { person, .. } => format!("person:{person}"),
        Actor::Recipient { recipient, .. } => format!("recipient:{recipient}"),
        Actor::Operator { uid } => format!("operator:{uid}"),
        Actor::System => "system".into(),
        Actor::Stranger => "stranger".into(),
    }
}

async fn pickup_list(instance: &Instance, peer: &Peer) -> Result<Reply> {
    let tenant = tenant(instance, peer).await?;
    let (mut rows, mut text) = (Vec::new(), String::new());
    for w in instance.pickup.list(&peer.caller, tenant, None, 500).await? {
        // An operator sees that something waits; for whom is the organisation's business.
        let named = peer.tenant.is_some();
        let sent = w.sent.rfc3339();
        writeln!(
            text,
            "{}  sent {sent}{}",
            w.id,
            if named { format!("  by {}", w.sender) } else { String::new() }
        )?;
        let mut recipients = Vec::new();
        for (address, state, expires) in &w.recipients {
            let (state, expires) = (state.word(), expires.rfc3339());
            let address = named.then_some(address);
            writeln!(text, "    {state:10} until {expires}  {}", address.map_or("", String::as_str))?;
            recipients.push(json!({"address": address, "state": state, "expires": expires}));
        }
        rows.push(
            json!({"id": w.id, "sent": sent, "sender": named.then_some(&w.sender), "recipients": recipients}),
        );
    }
    if rows.is_empty() {
        text.push_str("Nothing waits to be picked up.\n");
    }
    Ok(Reply::Done { rows, text })
}

async fn pickup_expire(instance: &Instance, peer: &Peer, id: &str, reason: &str) -> Result<Reply> {
    let tenant = tenant(instance, peer).await?;
    let raw: i64 = id.parse().with_context(|| format!("{id} is no id; see `sealpost pickup list`"))?;
    let pickup = sealpost_model::PickupId::from_raw(raw);
    instance.pickup.expire(&peer.caller, tenant, pickup, None, reason).await?;
    Ok(done(json!({"id": raw}), "It has ended; open pages lose it at their next request.\n".into()))
}
