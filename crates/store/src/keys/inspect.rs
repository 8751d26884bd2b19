//! Looking at every row of the keys' tables, and at every life key that they name.

use sealpost_model::{DataKeyId, Id, LifeKeyId, TenantId};

use super::{NEXT_DATA_KEYS, NEXT_DAYS, NEXT_ROOT, StoredRoot};
use crate::inspect::Inspection;
use crate::{Result, params};

/// Opens each root and each data key, and holds each day's journal key against its MAC and the ring. What is plain and
/// says nothing (`data_key.made`) is not covered.
///
/// # Errors
/// What keeps it from looking.
pub async fn inspect(look: &mut Inspection<'_>) -> Result<()> {
    roots(look).await?;
    data_keys(look).await?;
    days(look).await
}

async fn roots(look: &mut Inspection<'_>) -> Result<()> {
    let inner = look.keys().inner.clone();
    let mut after = (i64::MIN, i64::MIN, i64::MIN);
    loop {
        let (tenant, kind, epoch) = after;
        let rows = look
            .store()
            .read(move |tx| {
                tx.rows(&NEXT_ROOT, params![tenant, kind, epoch], |r| {
                    let key = (r.int(0)?, r.int(1)?, r.int(2)?);
                    let root = || -> Result<StoredRoot> {
                        let life = Some(r.id(3)?).filter(|id: &LifeKeyId| id.raw() != 0);
                        let (wrapper, wrapped) = (r.bytes(4)?, r.bytes(5)?);
                        Ok(StoredRoot { tenant: r.id(0)?, kind: key.1, epoch: key.2, life, wrapper, wrapped })
                    };
                    Ok((key, root().ok()))
                })
            })
            .await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        look.count("tenant_root", rows.len());
        for ((tenant, kind, epoch), root) in rows {
            let opened = root.as_ref().map(|root| root.open(&inner.master, &inner.ring));
            // Content that was destroyed, with its certificate, can't be opened by anybody.
            let id = TenantId::from_raw(tenant);
            let destroyed = matches!(opened, Some(Err(super::Error::Gone(_))))
                && kind == super::Root::Content.kind()
                && matches!(look.keys().certificate(id).await, Ok(Some(_)));
            if !destroyed && !matches!(opened, Some(Ok(_))) {
                let row = format!("tenant {tenant}, kind {kind}, epoch {epoch}");
                look.fault(
                    "tenant_root",
                    row,
                    "wrapped",
                    "it does not open with the master key and its life key",
                );
            }
        }
    }
}

async fn data_keys(look: &mut Inspection<'_>) -> Result<()> {
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let (tenant, id) = after;
        let rows = look
            .store()
            .read(move |tx| {
                tx.rows(&NEXT_DATA_KEYS, params![tenant, id], |r| {
                    let wrapped = r.bytes(4).unwrap_or_default();
                    Ok(((r.int(0)?, r.int(1)?), r.int(2).unwrap_or(0), r.int(3).unwrap_or(0), wrapped))
                })
            })
            .await?;
        let Some((last, ..)) = rows.last() else { return Ok(()) };
        after = *last;
        look.count("data_key", rows.len());
        for ((tenant, id), kind, epoch, wrapped) in rows {
            let row = format!("tenant {tenant}, id {id}");
            let Some(keys) = look.tenant(TenantId::from_raw(tenant), "data_key", &row).await else {
                continue;
            };
            let dead = kind == super::Root::Content.kind() && !keys.content_lives();
            if !dead && !keys.opens_data_key(DataKeyId::from_raw(id), kind, epoch, &wrapped) {
                look.fault("data_key", row, "wrapped", "it does not open under its root");
            }
        }
    }
}

async fn days(look: &mut Inspection<'_>) -> Result<()> {
    let mut after = (i64::MIN, i64::MIN);
    loop {
        let (tenant, day) = after;
        let rows = look
            .store()
            .read(move |tx| {
                tx.rows(&NEXT_DAYS, params![tenant, day], |r| {
                    Ok((r.int(0)?, r.int(1)?, r.opt_int(2).ok().flatten()))
                })
            })
            .await?;
        let Some((tenant, day, _)) = rows.last() else { return Ok(()) };
        after = (*tenant, *day);
        look.count("journal_key", rows.len());
        for (tenant, day, _) in rows {
            let row = format!("tenant {tenant}, day {day}");
            let Some(keys) = look.tenant(TenantId::from_raw(tenant), "journal_key", &row).await else {
                continue;
            };
            let known = i32::try_from(day).ok();
            let known = match known {
                Some(day) => keys.journal_day(day).await.ok().flatten(),
                None => None,
            };
            match known {
                Some(life) if look.keys().ring().key(life).is_some() => {}
                Some(_) if !keys.content_lives() => {}
                Some(_) => look.fault("journal_key", row, "life", "the key ring has no such life key"),
                None => look.fault("journal_key", row, "mac", "it is not what was written"),
            }
        }
    }
}
