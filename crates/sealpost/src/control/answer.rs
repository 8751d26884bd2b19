//! Carries out what policy has allowed.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use sealpost_model::{Address, Domain, Id, QueueId, Secret};
use sealpost_policy::{Roles, decide};
use sealpost_store::reserve::Standing;
use serde_json::json;

use super::{Act, Peer, Reply, done, person, tenant, waits};
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
            let password = Secret::new(password);
            let set = instance.identity.reset_password(person, &password, &peer.caller).await?;
            let row = json!({"address": address});
            Ok(match set.waits() {
                Some(id) => waits(id, row, "The new password works once that is agreed to. "),
                None => done(
                    row,
                    format!("{address} has a new password; they and the security official are told.\n"),
                ),
            })
        }
        Act::UserAppPassword { address, device } => {
            let person = person(instance, peer, &address).await?;
            let made = instance.identity.reset_app_password(person, &device, &peer.caller).await?;
            let id = made.waits();
            let made = made.into_inner();
            let row = json!({"address": address, "app_password": made.expose()});
            Ok(match id {
                Some(id) => waits(id, row, &format!("{}\nIt works once that is agreed to. ", made.expose())),
                None => done(row, format!("{}\n", made.expose())),
            })
        }
        Act::UserSetupLink { address } => super::setup_link::answer(instance, peer, &address).await,
        Act::Address(act) => act.answer(instance, peer).await,
        Act::Group(act) => act.answer(instance, peer).await,
        Act::Grant(act) => act.answer(instance, peer).await,
        Act::Role(act) => act.answer(instance, peer).await,
        Act::Session(act) => act.answer(instance, peer).await,
        Act::Pending(act) => act.answer(instance, peer).await,
        Act::Rules(act) => act.answer(instance, peer).await,
        Act::Key(act) => act.answer(instance, peer).await,
        Act::Ban(act) => act.answer(instance, peer).await,
        Act::Connector(act) => act.answer(instance, peer).await,
        Act::Device(act) => act.answer(instance, peer).await,
        Act::Blobs(act) => act.answer(instance, peer).await,
        Act::Backup(act) => act.answer(instance, peer).await,
        Act::Held(act) => act.answer(instance, peer).await,
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
        Act::Log(ask) => super::log::answer(instance, peer, ask).await,
        Act::Audit(act) => act.answer(instance, peer).await,
    }
}

async fn status(instance: &Instance) -> Result<Reply> {
    let tenants = instance.identity.tenants().await?;
    let mut queued = 0;
    for tenant in &tenants {
        queued += instance.delivery.queue(*tenant, None).await?.len();
    }
    let version = env!("CARGO_PKG_VERSION");
    let disk = instance.store.reserve().facts();
    let standing = match disk.standing {
        Standing::Off => "off",
        Standing::Kept => "kept",
        Standing::Spent => "spent",
    };
    let mut text =
        format!("Sealpost {version}: {} organisation(s), {queued} message(s) in the queue.\n", tenants.len());
    if !disk.room {
        let free = disk.free >> 20;
        writeln!(
            text,
            "The disk is nearly full ({free} MiB free, reserve {standing}): new mail is asked to come later; free some space."
        )?;
    }
    Ok(done(
        json!({
            "version": version,
            "organisations": tenants.len(),
            "queued": queued,
            "disk": {"reserve": standing, "bytes": disk.size, "free": disk.free, "room": disk.room, "spent": disk.spent},
        }),
        text,
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
    // A role that reads evidence is asked for after the person exists: it may need a second person.
    let first: Roles = roles.iter().filter(|role| !role.reads_evidence()).collect();
    let new = NewUser { tenant, address, name, password, roles: first };
    let person = people::add(instance, new, &peer.caller).await?;
    let waiting = if first == roles {
        None
    } else {
        instance.identity.change_roles(person, roles, &peer.caller).await?.waits()
    };
    let mut row = json!({"address": shown});
    let mut text = format!("{shown} can sign in now.\n");
    if let Some(device) = app_password {
        let made = instance.identity.add_app_password(person, &device, &peer.caller).await?;
        text = format!("{}\n", made.expose());
        row = json!({"address": shown, "app_password": made.expose()});
    }
    Ok(match waiting {
        Some(id) => waits(id, row, &format!("{text}The role waits. ")),
        None => done(row, text),
    })
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
