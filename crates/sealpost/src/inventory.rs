//! `sealpost key inventory`: every algorithm with its key size, its module and what it is for, from the code (S11); and of
//! a given instance, which keys there are.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use sealpost_crypto::inventory::{inventory, module, self_test};
use sealpost_store::keys::{recovery, rotate};
use serde_json::{Value, json};

use crate::Which;
use crate::instance::{Mode, Opened};

/// Prints the table, and with JSON what lives, too.
pub async fn run(which: &Which, json: bool) -> Result<ExitCode> {
    if let Err(name) = self_test() {
        anyhow::bail!(
            "{name} does not compute what its standard says: this build or machine is broken, don't use it"
        );
    }
    if !json {
        crate::print(&table())?;
        return Ok(ExitCode::SUCCESS);
    }
    let tls = sealpost_net::tls_offer();
    let rows: Vec<Value> = inventory()
        .into_iter()
        .map(|u| {
            json!({"what": u.what, "algorithm": u.algorithm, "bits": u.bits, "standard": u.standard,
                   "module": u.module, "code": u.code})
        })
        .collect();
    let live = match which.load() {
        Ok(config) => live(&Opened::open(&config, Mode::Look).await?).await?,
        Err(_) => Value::Null,
    };
    let all = json!({
        "module": module(),
        "algorithms": rows,
        "tls": {"versions": tls.versions, "suites": tls.suites, "groups": tls.groups},
        "live": live,
    });
    crate::print(&format!("{all}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The table as Markdown: what `docs/crypto.md` holds.
fn table() -> String {
    let mut out =
        String::from("| what | algorithm | bits | standard | module | code |\n|---|---|---|---|---|---|\n");
    for u in inventory() {
        let file = u.code.rsplit('/').next().unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | [{file}](../{}) |",
            u.what, u.algorithm, u.bits, u.standard, u.module, u.code
        );
    }
    let tls = sealpost_net::tls_offer();
    let _ = writeln!(
        out,
        "\nTLS, by rustls over AWS-LC, best first, for servers and clients alike:\n\n\
         * versions: {}\n* cipher suites: {}\n* key exchanges: {}",
        tls.versions.join(", "),
        tls.suites.join(", "),
        tls.groups.join(", ")
    );
    out
}

async fn live(opened: &Opened) -> Result<Value> {
    let keys = &opened.keys;
    let roots: Vec<Value> = keys
        .facts()
        .await?
        .into_iter()
        .map(|k| {
            json!({"tenant": k.tenant, "kind": k.kind, "epoch": k.epoch, "master": rotate::short(&k.wrapper),
                   "data_keys": k.data_keys, "lives": k.lives})
        })
        .collect();
    Ok(json!({
        "master": rotate::short(&keys.master_name()),
        "roots": roots,
        "life_keys": keys.ring().len(),
        "ring_generation": keys.ring().generation(),
        "kit": recovery::facts(keys)?,
    }))
}
