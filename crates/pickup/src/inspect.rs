//! Looking at every waiting message and recipient: is each what was written?

use sealpost_crypto::Key;
use sealpost_model::{Id, RecipientId};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Error, Inspection, params};

use crate::row::{Message, Row};
use crate::{link, schema};

/// Looks at all tables of this crate, and opens the bodies that wait. Sessions, credentials and budgets of tries have no
/// cover but their blind tokens.
///
/// # Errors
/// What keeps it from looking; what is wrong is noted.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<(), Error> {
    let mut after = i64::MIN;
    while let Some((last, page)) = look.page("pickup", &schema::ALL_PICKUPS, after, Message::read).await? {
        after = last;
        for message in page {
            let Some(keys) = look.tenant(message.tenant, "pickup", message.id).await else { continue };
            if message.detail(&keys).is_err() {
                let why = "it does not open: it, or one of submission, account, message_index and created, was changed";
                look.fault("pickup", message.id, "detail", why);
            }
        }
    }
    let mut after = i64::MIN;
    while let Some((last, page)) =
        look.page("pickup_recipient", &schema::ALL_RECIPIENTS, after, Row::read).await?
    {
        after = last;
        for row in page {
            recipient(look, row).await?;
        }
    }
    sessions(look).await?;
    let wrong = look.store().read(|tx| tx.row(&schema::BUDGET_WRONG, &[], |r| r.int(0))).await?.unwrap_or(0);
    if wrong > 0 {
        look.fault("pickup_budget", format!("{wrong} rows"), "tries", "a count below zero, or of nobody");
    }
    Ok(())
}

async fn recipient(look: &mut Inspection<'_>, row: Row) -> Result<(), Error> {
    const TABLE: &str = "pickup_recipient";
    let (id, pickup) = (row.id, row.pickup);
    look.owns(row.blob);
    let Some(keys) = look.tenant(row.tenant, TABLE, id).await else { return Ok(()) };
    let Ok(row) = row.check(&keys) else {
        look.fault(TABLE, id, "mac", "a plain column is not what was written");
        return Ok(());
    };
    if !look.store().read(move |tx| tx.exists(&schema::HAS_PICKUP, params![pickup])).await? {
        look.fault("pickup", pickup, "", format!("it is missing; {TABLE} {id} names it"));
    }
    if !row.address(&keys).is_ok_and(|a| is_index_of(&keys, &row, a.key().as_bytes())) {
        look.fault(TABLE, id, "address", "it does not open, or address_index is another's");
    }
    if link::index(look.keys(), "pickup_recipient.token", link::of(&keys, id).token()) != row.token {
        look.fault(TABLE, id, "token", "it is not that of its link");
    }
    for (column, note) in [("opened_from", &row.now.opened_from), ("ended_why", &row.now.ended_why)] {
        if note.as_ref().is_some_and(|sealed| row.note(&keys, column, sealed).is_err()) {
            look.fault(TABLE, id, column, "it does not open");
        }
    }
    if row.dead == row.now.state.is_kept() {
        look.fault(TABLE, id, "dead", "it does not agree with the state");
    }
    if row.dead {
        return Ok(());
    }
    match look.keys().ring().key(row.life) {
        Some(life) => content(look, &row, &life).await,
        None => {
            look.fault(TABLE, id, "life", format!("the key ring has no life key {}", row.life));
            Ok(())
        }
    }
}

fn is_index_of(keys: &TenantKeys, row: &Row, key: &[u8]) -> bool {
    keys.blind("pickup_recipient.address", key) == row.address_index
}

async fn content(look: &mut Inspection<'_>, row: &Row, life: &Key) -> Result<(), Error> {
    let id: RecipientId = row.id;
    if row.facts(life).is_err() {
        look.fault("pickup_recipient", id, "facts", "it does not open");
    }
    match row.blob_key(life) {
        Ok(key) => look.body(row.blob, &key, &format!("pickup_recipient {id}")).await.map(drop),
        Err(_) => {
            look.fault("pickup_recipient", id, "wrapped", "it does not open for this body");
            Ok(())
        }
    }
}

/// Sessions of recipients that are gone open nothing; they are named all the same.
async fn sessions(look: &mut Inspection<'_>) -> Result<(), Error> {
    let mut after = i64::MIN;
    while let Some((last, page)) =
        look.page("pickup_session", &schema::SESSION_RECIPIENTS, after, |r| r.id::<RecipientId>(0)).await?
    {
        after = last;
        for id in page {
            if !look.store().read(move |tx| tx.exists(&schema::HAS_RECIPIENT, params![id])).await? {
                look.fault("pickup_recipient", id.raw(), "", "it is missing; a session names it");
            }
        }
    }
    Ok(())
}
