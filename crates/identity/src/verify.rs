//! Looking at every row of the directory: is each what was written?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sealpost_audit::Object;
use sealpost_model::{Address, Domain, Id, TenantId, Time};
use sealpost_store::keys::{Keys, TenantKeys};
use sealpost_store::{Row, Sql, Store, params};

use crate::address::AddressRow;
use crate::domain::DomainRow;
use crate::person::Whole;
use crate::service::{aad, open};
use crate::{
    Error, app_password, ban, connector, device, grant, outbox, pending, person, place, schema, session,
    setup, tenant,
};

/// A row that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// The row.
    pub id: i64,
    /// What is wrong, in words without names.
    pub why: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.table, self.id, self.why)
    }
}

/// Reads each row of this crate's tables, checks its MAC, opens what is sealed, compares the blind index with what it
/// stands for, and looks for what it names. Changes nothing; the store may be open for reading only. Rows that are gone and that nothing names are not seen here.
///
/// # Errors
/// Only what keeps it from looking.
pub async fn verify(store: &Store, keys: &Keys) -> Result<Vec<Damage>, Error> {
    let (mut domains, mut people, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut needs: Vec<(&'static str, i64, String)> = Vec::new();
    let mut look = Look { store, keys, known: HashMap::new(), found: Vec::new() };
    let newest = sealpost_audit::versions(store)?;
    let mut seen: Vec<(&'static str, Object, i64)> = Vec::new();
    for row in look.rows("tenant", &schema::ALL_TENANTS, tenant::Columns::read)? {
        let tenant = row.id;
        seen.push(("tenant", tenant.into(), row.version));
        look.check("tenant", tenant, tenant.raw(), |keys| row.open(keys).map(drop)).await;
    }
    for row in look.rows("domain", &schema::ALL_DOMAINS, DomainRow::read)? {
        domains.insert(row.id.raw());
        let blind = |name: &Domain| keys.instance().blind("domain.name", name.as_str().as_bytes());
        let check = |keys: &TenantKeys| {
            row.facts(keys)?;
            let aad = aad(row.tenant, "domain", row.id, "name");
            let name = open(keys, &aad, &row.name, ("domain", row.id.raw()))?;
            let same = Domain::parse(&name).is_ok_and(|name| blind(&name) == row.blind);
            if same { Ok(()) } else { Err(Error::Tampered { table: "domain", id: row.id.raw() }) }
        };
        look.check("domain", row.tenant, row.id.raw(), check).await;
    }
    for row in look.rows("address", &schema::ALL_ADDRESSES, AddressRow::read)? {
        addresses.insert(row.id.raw());
        seen.push(("address", row.id.into(), row.version));
        let by = format!("address {}", row.id);
        needs.push(("domain", row.domain.raw(), by.clone()));
        needs.extend([("person", row.person, by.clone()), ("address", row.points_to, by)]);
        let blind = |address: &Address| keys.instance().blind("address.key", address.key().as_bytes());
        let check = |keys: &TenantKeys| {
            row.check(keys)?;
            crate::group::verify(keys, &row)?;
            let same = blind(&row.address(keys)?) == row.blind;
            if same { Ok(()) } else { Err(Error::Tampered { table: "address", id: row.id.raw() }) }
        };
        look.check("address", row.tenant, row.id.raw(), check).await;
    }
    for row in look.rows("person", &schema::ALL_PEOPLE, person::Columns::read)? {
        let (tenant, id) = (row.tenant(), row.id());
        people.insert(id.raw());
        seen.push(("person", id.into(), row.version()));
        let whole = store.read_blocking(move |tx| Whole::around(tx, row.clone()))?;
        look.check("person", tenant, id.raw(), |keys| whole.verify(keys)).await;
    }
    for row in look.rows("app_password", &schema::ALL_APP_PASSWORDS, app_password::AppPasswordRow::read)? {
        needs.push(("person", row.person.raw(), format!("app_password {}", row.id)));
        seen.push(("app_password", row.id.into(), row.version()));
        look.check("app_password", row.tenant, row.id.raw(), |keys| row.device(keys).map(drop)).await;
    }
    for row in look.rows("setup_link", &schema::ALL_SETUP_LINKS, setup::LinkRow::read)? {
        needs.push(("person", row.person.raw(), format!("setup_link {}", row.id)));
        look.check("setup_link", row.tenant, row.id.raw(), |keys| row.check(keys)).await;
    }
    for row in look.rows("official", &schema::ALL_OFFICIALS, setup::OfficialRow::read)? {
        needs.push(("person", row.id.raw(), format!("official {}", row.id)));
        look.check("official", row.tenant, row.id.raw(), |keys| row.contact(keys).map(drop)).await;
    }
    for row in look.rows("web_session", &schema::ALL_SESSIONS, session::Columns::read)? {
        look.check("web_session", row.tenant, row.id.raw(), |keys| row.check(keys)).await;
    }
    for row in look.rows("mailbox_grant", &schema::ALL_GRANTS, grant::GrantRow::read)? {
        needs.push(("person", row.person.raw(), format!("mailbox_grant {}", row.id)));
        seen.push(("mailbox_grant", row.id.into(), row.version));
        look.check("mailbox_grant", row.tenant, row.id.raw(), |keys| row.check(keys)).await;
    }
    for row in look.rows("pending_act", &schema::ALL_ACTS, pending::ActRow::read)? {
        needs.push(("person", row.proposer(), format!("pending_act {}", row.id)));
        seen.push(("pending_act", row.id.into(), row.version()));
        look.check("pending_act", row.tenant, row.id.raw(), |keys| {
            row.open(keys, Time::from_millis(0)).map(drop)
        })
        .await;
    }
    for row in look.rows("known_place", &schema::ALL_PLACES, place::Place::read)? {
        needs.push(("person", row.person.raw(), format!("known_place of {}", row.person)));
        look.check("known_place", row.tenant, row.person.raw(), |keys| row.check(keys)).await;
    }
    for row in look.rows("ban", &schema::ALL_BANS, ban::BanRow::read)? {
        if let Err(error) = row.open(keys.instance()) {
            look.found.push(Damage { table: "ban", id: row.id.raw(), why: error.to_string() });
        }
    }
    for row in look.rows("device", &schema::ALL_DEVICES, device::DeviceRow::read)? {
        seen.push(("device", row.id.into(), row.version()));
        look.check("device", row.tenant, row.id.raw(), |keys| row.open(keys).map(drop)).await;
    }
    for row in look.rows("connector", &schema::ALL_CONNECTORS, connector::ConnectorRow::read)? {
        seen.push(("connector", row.id.into(), row.version()));
        look.check("connector", row.tenant, row.id.raw(), |keys| row.open(keys).map(drop)).await;
    }
    for row in look.rows("outbox", &schema::ALL_OUTBOX, outbox::OutboxRow::read)? {
        look.check("outbox", row.tenant, row.id, |keys| row.open(keys).map(drop)).await;
    }
    for (table, thing, version) in seen {
        // An older row with its MAC was put back: the log knows a newer one.
        if let Some(newest) = newest.get(&thing).filter(|newest| version < **newest) {
            let why = format!(
                "it is version {version}, and the log knows version {newest}: an older row was put back"
            );
            look.found.push(Damage { table, id: thing.id, why });
        }
    }
    // Nothing of these is removed while something names it; what was added just now is found at a second look.
    for (table, id, by) in needs {
        let (known, list) = match table {
            "domain" => (&mut domains, &schema::ALL_DOMAINS),
            "person" => (&mut people, &schema::ALL_PEOPLE),
            _ => (&mut addresses, &schema::ALL_ADDRESSES),
        };
        if id == 0 || known.contains(&id) || look.found.iter().any(|d| d.table == table && d.id == id) {
            continue;
        }
        known.extend(look.rows(table, list, |r| r.int(0))?);
        if !known.contains(&id) {
            look.found.push(Damage { table, id, why: format!("it is missing; {by} names it") });
        }
    }
    Ok(look.found)
}

struct Look<'a> {
    store: &'a Store,
    keys: &'a Keys,
    known: HashMap<TenantId, Option<Arc<TenantKeys>>>,
    found: Vec<Damage>,
}

impl Look<'_> {
    /// All rows of a table; those that damage made unreadable are named.
    fn rows<T: Send + 'static>(
        &mut self,
        table: &'static str,
        list: &'static Sql,
        read: fn(&Row<'_>) -> Result<T, sealpost_store::Error>,
    ) -> Result<Vec<T>, Error> {
        let (mut all, mut after) = (Vec::new(), i64::MIN);
        loop {
            let page = self.store.read_blocking(move |tx| {
                tx.rows(list, params![after], |r| Ok((r.int(0)?, read(r).map_err(|e| e.to_string()))))
            })?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = *last;
            for (id, row) in page {
                match row {
                    Ok(row) => all.push(row),
                    Err(why) => self.found.push(Damage { table, id, why }),
                }
            }
        }
    }

    async fn check(
        &mut self,
        table: &'static str,
        tenant: TenantId,
        id: i64,
        check: impl FnOnce(&TenantKeys) -> Result<(), Error>,
    ) {
        if !self.known.contains_key(&tenant) {
            let keys = self.keys.tenant(tenant).await.ok();
            self.known.insert(tenant, keys);
        }
        let why = match self.known.get(&tenant) {
            Some(Some(keys)) => match check(keys) {
                Ok(()) => return,
                Err(Error::Tampered { table: of, id: other }) if of != table || other != id => {
                    format!("it needs {of} {other}, which is not what was written")
                }
                Err(_) => "it is not what was written".to_owned(),
            },
            _ => format!("it names tenant {tenant}, which has no keys"),
        };
        self.found.push(Damage { table, id, why });
    }
}
