//! The end of an organisation's content: its content root's life key, the keys of its journal, and the life keys of all
//! that its mailboxes hold die together (S76, cryptographic erasure).
//!
//! Records (log, ledger, certificates) hang on another root and stay readable. What died is on the ring's list of
//! destructions, so no backup of the ring brings it back, and no copy of the data opens without it. The certificate is a
//! record of its own, sealed under the records root, in the table `destruction`.

use sealpost_crypto::Aad;
use sealpost_model::{Id, LifeKeyId, TenantId, Time};

use super::{
    DAYS_OF, DESTRUCTION, Error, INSERT_DESTRUCTION, Keys, Result, Root, StoredRoot, instance_tenant,
};
use crate::{ReadTx, Scope, params};

/// Who asked for it, and what they were told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Whose content.
    pub tenant: TenantId,
    /// Life keys beside those that are known here: of mailboxes, waiting messages, queued ones.
    pub lives: Vec<LifeKeyId>,
    /// The two people who agreed, in words for the certificate.
    pub by: String,
    /// Whether the act says that mail whose retention has not ended is destroyed too.
    pub despite_retention: bool,
}

/// That it was done: the fields of NIST SP 800-88 Rev. 2, as far as data has them and not a device.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Certificate {
    /// The organisation's number.
    pub tenant: i64,
    /// When.
    pub at: Time,
    /// Who agreed.
    pub by: String,
    /// Life keys that died.
    pub keys: u64,
    /// The number of the destruction in the ring's list.
    pub list: u64,
    /// How often the ring key had changed after it.
    pub generation: u64,
}

impl Certificate {
    /// Its text.
    pub fn text(&self) -> String {
        let Self { tenant, at, by, keys, list, generation } = self;
        format!(
            "Certificate of sanitization (NIST SP 800-88 Rev. 2)\n\
             Media: all content of organisation {tenant}: mailboxes, waiting messages, journal, people, settings; every copy\n\
             Sanitization method: purge by cryptographic erase; the keys were destroyed, in AES-256-GCM\n\
             Keys destroyed: {keys} life keys and the content root, number {list} of the list of destructions, ring {generation}\n\
             Tool: Sealpost {}\n\
             Verification: each key was looked for afterwards and not found\n\
             Date: {}\n\
             Performed and validated by: {by}\n\
             Remaining: records (log, ledger, certificates), under a root of their own, until their time ends\n",
            env!("CARGO_PKG_VERSION"),
            at.rfc3339()
        )
    }

    fn parse(tenant: TenantId, plain: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(plain).ok()?;
        let mut words = text.splitn(5, ' ');
        let mut int = || words.next()?.parse::<i64>().ok();
        let (at, keys, list, generation) = (int()?, int()?, int()?, int()?);
        Some(Self {
            tenant: tenant.raw(),
            at: Time::from_millis(at),
            by: words.next()?.to_owned(),
            keys: u64::try_from(keys).ok()?,
            list: u64::try_from(list).ok()?,
            generation: u64::try_from(generation).ok()?,
        })
    }

    fn plain(&self) -> String {
        let Self { at, by, keys, list, generation, .. } = self;
        format!("{} {keys} {list} {generation} {by}", at.millis())
    }
}

impl Keys {
    /// Destroys an organisation's content for good, and answers the certificate, which is also kept. Repeating it after a
    /// crash ends what was begun. The caller has two people's agreement, and an entry open in the log.
    ///
    /// # Errors
    /// [`Error::Retention`] unless the order says otherwise; [`Error::UnknownTenant`]; [`Error::Ring`] when the keys could
    /// not be destroyed at all of their places: then nothing is certified.
    pub async fn destroy_content(&self, order: Order) -> Result<Certificate> {
        let tenant = order.tenant;
        if tenant == instance_tenant() {
            return Err(Error::UnknownTenant(tenant));
        }
        if let Some(done) = self.certificate(tenant).await? {
            return Ok(done);
        }
        let root = self
            .inner
            .store
            .read(move |tx| StoredRoot::read(tx, tenant, Root::Content.kind()))
            .await?
            .ok_or(Error::UnknownTenant(tenant))?;
        let now = self.inner.store.clock().now();
        let days = self.days_of(tenant).await?;
        let unexpired = days.iter().filter(|(day, _)| *day >= i64::from(now.day())).count();
        if unexpired > 0 && !order.despite_retention {
            return Err(Error::Retention { tenant, days: unexpired });
        }
        let mut lives: Vec<LifeKeyId> =
            root.life.into_iter().chain(days.iter().map(|(_, life)| *life)).collect();
        lives.extend(order.lives);
        let keys = lives.iter().filter(|life| self.ring().key(**life).is_some()).count() as u64;
        self.ring().destroy(&lives).await?;
        if let Some(left) = lives.iter().find(|life| self.ring().key(**life).is_some()) {
            return Err(Error::Damaged { what: "the ring: it still has life key", id: left.raw() });
        }
        // From here on this process has the records alone.
        self.forget(tenant);
        let certificate = Certificate {
            tenant: tenant.raw(),
            at: now,
            by: order.by,
            keys,
            list: self.ring().destructions()?,
            generation: self.ring().generation(),
        };
        let records = self.tenant(tenant).await?;
        let sealed = records.seal(Root::Records, &aad(tenant), certificate.plain().as_bytes());
        let insert = move |tx: &mut crate::Tx| -> Result<usize> {
            Ok(tx.execute(&INSERT_DESTRUCTION, params![tenant, now, sealed])?)
        };
        self.inner.store.write(Scope::tenant(tenant), insert).await?;
        Ok(certificate)
    }

    /// The certificate of an organisation whose content was destroyed.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was written.
    pub async fn certificate(&self, tenant: TenantId) -> Result<Option<Certificate>> {
        let read =
            move |tx: &ReadTx| -> Result<_> { Ok(tx.row(&DESTRUCTION, params![tenant], |r| r.bytes(0))?) };
        let Some(sealed) = self.inner.store.read(read).await? else { return Ok(None) };
        let plain = self.tenant(tenant).await?.open(&aad(tenant), &sealed)?;
        let damaged = Error::Damaged { what: "the certificate of tenant", id: tenant.raw() };
        Certificate::parse(tenant, &plain).map(Some).ok_or(damaged)
    }

    /// The days on which journal entries of a tenant expire, with their life keys.
    async fn days_of(&self, tenant: TenantId) -> Result<Vec<(i64, LifeKeyId)>> {
        let (mut all, mut after) = (Vec::new(), i64::MIN);
        loop {
            let read = move |tx: &ReadTx| -> Result<Vec<(i64, LifeKeyId)>> {
                Ok(tx.rows(&DAYS_OF, params![tenant, after], |r| Ok((r.int(0)?, r.id(1)?)))?)
            };
            let some = self.inner.store.read(read).await?;
            let Some((last, _)) = some.last() else { return Ok(all) };
            after = *last;
            all.extend(some);
        }
    }
}

fn aad(tenant: TenantId) -> Aad {
    Aad::new(tenant, "destruction", tenant.raw(), "certificate")
}

#[cfg(test)]
mod tests {
    use sealpost_model::Clock as _;

    use super::*;
    use crate::keys::tests::{World, place, tenant};

    fn order(n: i64, lives: Vec<LifeKeyId>) -> Order {
        Order { tenant: tenant(n), lives, by: "person 5 and person 6".to_owned(), despite_retention: false }
    }

    #[tokio::test]
    async fn content_dies_records_stay_and_others_do_not_notice() {
        let world = World::new();
        let keys = world.create().await;
        let (one, two) = (keys.tenant(tenant(1)).await.unwrap(), keys.tenant(tenant(2)).await.unwrap());
        let content = one.seal(Root::Content, &place(1, "name"), b"Alice");
        let records = one.seal(Root::Records, &place(1, "detail"), b"opened");
        let theirs = two.seal(Root::Content, &place(1, "name"), b"Bob");
        let mac = one.mac("role", 5, 1, &[b"admin"]);
        let (account, account_key) = keys.ring().create_key().await.unwrap();
        let (day, _) = one.journal_key(99).await.unwrap();
        let backup = world.dir.path().join("ring backup");
        let now = world.clock.now();
        keys.ring().backup(&backup, now).unwrap();
        drop((one, two));
        let certificate = keys.destroy_content(order(1, vec![account])).await.unwrap();
        assert_eq!((certificate.keys, certificate.list), (3, 1), "{certificate:?}");
        assert!(certificate.text().contains("person 5 and person 6") && certificate.text().contains("purge"));
        for again in 0..2 {
            let one = keys.tenant(tenant(1)).await.unwrap();
            assert!(one.open(&place(1, "name"), &content).is_err());
            assert_eq!(one.open(&place(1, "detail"), &records).unwrap(), b"opened", "{again}");
            one.verify_mac("role", 5, 1, &[b"admin"], &mac).unwrap();
            assert!(keys.ring().key(account).is_none() && keys.ring().key(day).is_none());
            // Records go on.
            let later = one.seal(Root::Records, &place(2, "detail"), b"certified");
            assert_eq!(one.open(&place(2, "detail"), &later).unwrap(), b"certified");
            assert_eq!(
                keys.destroy_content(order(1, Vec::new())).await.unwrap(),
                certificate,
                "it is repeated"
            );
        }
        let two = keys.tenant(tenant(2)).await.unwrap();
        assert_eq!(two.open(&place(1, "name"), &theirs).unwrap(), b"Bob");
        drop((two, keys));
        // From a restart, and from a ring that was put back from before.
        let keys = world.open().await;
        assert_eq!(keys.certificate(tenant(1)).await.unwrap(), Some(certificate));
        drop(keys);
        let papers =
            ["weeks", "destroyed"].map(|name| (name, std::fs::read(world.ring_folder().join(name)).unwrap()));
        std::fs::remove_dir_all(world.ring_folder()).unwrap();
        std::fs::create_dir(world.ring_folder()).unwrap();
        for (name, bytes) in papers {
            std::fs::write(world.ring_folder().join(name), bytes).unwrap();
        }
        let made: &std::path::Path = &world.ring_folder();
        let restored = crate::Ring::restore(made, &backup, &world.master, &world.random, now).unwrap();
        assert_eq!(restored.destroyed_again, 3);
        let keys = world.open().await;
        assert!(keys.ring().ids().iter().all(|id| keys.ring().key(*id).unwrap() != account_key));
        let one = keys.tenant(tenant(1)).await.unwrap();
        assert!(one.open(&place(1, "name"), &content).is_err());
        assert_eq!(one.open(&place(1, "detail"), &records).unwrap(), b"opened");
        assert_eq!(keys.tenant(tenant(2)).await.unwrap().open(&place(1, "name"), &theirs).unwrap(), b"Bob");
    }

    #[tokio::test]
    async fn retention_that_has_not_ended_refuses_unless_the_act_says_so() {
        let world = World::new();
        let keys = world.create().await;
        let one = keys.tenant(tenant(1)).await.unwrap();
        let today = world.clock.now().day();
        one.journal_key(today + 1).await.unwrap();
        let said = keys.destroy_content(order(1, Vec::new())).await.unwrap_err();
        assert!(matches!(said, Error::Retention { days: 1, .. }), "{said}");
        assert!(keys.certificate(tenant(1)).await.unwrap().is_none());
        assert!(one.journal_key(today + 1).await.is_ok(), "nothing was destroyed");
        keys.destroy_content(Order { despite_retention: true, ..order(1, Vec::new()) }).await.unwrap();
        for wrong in [0, 77] {
            assert!(matches!(
                keys.destroy_content(order(wrong, Vec::new())).await,
                Err(Error::UnknownTenant(_))
            ));
        }
    }
}
