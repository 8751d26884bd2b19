//! `sealpost key list`, `status`, `rotate`: which keys there are, and new ones in their place while the server works.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use sealpost_audit::{Completion, Outcome, Verb};
use sealpost_policy::Command;
use sealpost_store::keys::{recovery, rotate};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Peer, Reply, done};
use crate::instance::Instance;
use crate::master::{self, Order};

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The keys of each organisation.
    List,
    /// Master key, ring, kit, and how far a rotation is.
    Status,
    /// New keys.
    Rotate {
        /// Which.
        what: What,
        /// For the master key: what shall keep the new one.
        to: Option<Order>,
    },
}

/// What gets new keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Another master key takes the old one's place; the old one opens nothing afterwards.
    Master,
    /// New life keys around each organisation's roots; older copies of the data lose theirs.
    Roots,
    /// A new ring key, and new keys for all pages of the ring.
    Ring,
    /// New data keys: what is sealed from now on is sealed with them.
    Data,
    /// Roots, ring and data keys.
    All,
}

impl What {
    const fn reason(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Roots => "roots",
            Self::Ring => "ring",
            Self::Data => "data",
            Self::All => "all",
        }
    }
}

impl Act {
    pub(super) const fn command(&self) -> Command {
        match self {
            Self::List => Command::KeyList,
            Self::Status => Command::KeyStatus,
            Self::Rotate { .. } => Command::KeyRotate,
        }
    }

    pub(super) async fn answer(self, instance: &Instance, peer: &Peer) -> Result<Reply> {
        match self {
            Self::List => list(instance).await,
            Self::Status => status(instance),
            Self::Rotate { what, to } => rotate(instance, peer, what, to).await,
        }
    }
}

async fn list(instance: &Instance) -> Result<Reply> {
    let (mut rows, mut text) = (Vec::new(), String::new());
    for key in instance.keys.facts().await? {
        let (id, kind) = (key.tenant, key.kind);
        let state = if key.lives { "" } else { "  destroyed" };
        let wrapper = rotate::short(&key.wrapper);
        writeln!(
            text,
            "organisation {id:>6}  {kind:8} epoch {}  under master key {wrapper}  {} data key(s){state}",
            key.epoch, key.data_keys
        )?;
        rows.push(json!({
            "tenant": id, "kind": kind, "epoch": key.epoch, "master": wrapper, "data_keys": key.data_keys,
            "lives": key.lives,
        }));
    }
    Ok(Reply::Done { rows, text })
}

fn status(instance: &Instance) -> Result<Reply> {
    let (keys, ring) = (&instance.keys, instance.keys.ring());
    let kit = recovery::facts(keys)?;
    let progress = keys.progress();
    let row = json!({
        "master": rotate::short(&keys.master_name()),
        "rotating": keys.is_rotating()?,
        "progress": progress,
        "ring": {
            "life_keys": ring.len(),
            "generation": ring.generation(),
            "destructions": ring.destructions()?,
            "weeks": ring.weeks()?.into_iter().map(|(week, dies)| json!({"week": week, "dies": dies.rfc3339()})).collect::<Vec<_>>(),
        },
        "kit": kit,
        "module": sealpost_crypto::module(),
    });
    let mut text = format!(
        "master key   {}\nring         {} life keys, its key changed {} time(s), {} destruction(s)\n",
        rotate::short(&keys.master_name()),
        ring.len(),
        ring.generation().saturating_sub(1),
        ring.destructions()?
    );
    match &kit {
        Some(kit) => {
            let tried = kit.tried.map_or("never tried".to_owned(), |at| format!("tried on {}", at.rfc3339()));
            writeln!(text, "kit          {}: {} of {} shares, {tried}", kit.kit, kit.needed, kit.shares)?;
        }
        None => text.push_str("kit          none: make one with `sealpost key kit`\n"),
    }
    writeln!(text, "module       {}", sealpost_crypto::module())?;
    match progress {
        Some(p) => writeln!(text, "rotation     {}: {}, {} key(s) so far", p.what, p.step, p.done)?,
        None if keys.is_rotating()? => {
            text.push_str("rotation     of the master key was cut short; it goes on at the next start\n")
        }
        None => text.push_str("rotation     none\n"),
    }
    Ok(done(row, text))
}

async fn rotate(instance: &Instance, peer: &Peer, what: What, to: Option<Order>) -> Result<Reply> {
    let keys = &instance.keys;
    let super::Caller { actor, client } = peer.caller;
    let log = sealpost_audit::instance();
    let draft = instance.audit.draft(log, &actor, &client, Verb::KeyRotate).reason(what.reason());
    let open = instance.audit.open(draft).await?;
    let turn = async {
        let mut count = 0;
        if what == What::Master {
            let order = to.ok_or_else(|| anyhow::anyhow!("say what shall keep the new master key"))?;
            let random = instance.random.clone();
            // A passphrase is stretched for a second; a token may take its time.
            let new = tokio::task::spawn_blocking(move || master::new_master(order, &random)).await??;
            count += keys.rotate_master(new).await?;
        }
        if matches!(what, What::Roots | What::All) {
            count += keys.rotate_roots().await?;
        }
        if matches!(what, What::Ring | What::All) {
            keys.rotate_ring().await?;
            count += 1;
        }
        if matches!(what, What::Data | What::All) {
            count += keys.rotate_data().await?;
        }
        Ok::<u64, anyhow::Error>(count)
    };
    match turn.await {
        Ok(count) => {
            open.complete(Outcome::Done).await?;
            let row = json!({"what": what, "keys": count, "master": rotate::short(&keys.master_name())});
            Ok(done(row, format!("{count} key(s) are new or newly wrapped; nothing was sealed anew.\n")))
        }
        Err(error) => {
            open.complete(Completion::from(Outcome::Failed).detail(format!("{error:#}"))).await?;
            Err(error)
        }
    }
}
