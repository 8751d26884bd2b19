//! Networks that a person has signed in from: what is known keeps its own budget of tries, and what is new is told.

use std::net::IpAddr;

use sealpost_model::{Id, PersonId, TenantId, Time};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Row, Tx, params};

use crate::tenant::FIRST;
use crate::{Error, Identity, schema};

/// A row of the table: a network as a keyed hash.
pub(crate) struct Place {
    pub person: PersonId,
    pub place: [u8; 16],
    pub tenant: TenantId,
    since: Time,
    mac: [u8; 16],
}

impl Place {
    pub(crate) fn read(r: &Row<'_>) -> Result<Self, sealpost_store::Error> {
        Ok(Self {
            person: r.id(0)?,
            place: r.array(1)?,
            tenant: r.id(2)?,
            since: r.time(3)?,
            mac: r.array(4)?,
        })
    }

    pub(crate) fn new(
        keys: &TenantKeys,
        tenant: TenantId,
        person: PersonId,
        place: [u8; 16],
        since: Time,
    ) -> Self {
        let mut row = Self { person, place, tenant, since, mac: [0; 16] };
        row.mac = row.covered(|parts| keys.mac("known_place", person.raw(), FIRST, parts));
        row
    }

    pub(crate) fn check(&self, keys: &TenantKeys) -> Result<(), Error> {
        self.covered(|parts| keys.verify_mac("known_place", self.person.raw(), FIRST, parts, &self.mac))
            .map_err(|_| Error::Tampered { table: "known_place", id: self.person.raw() })
    }

    pub(crate) fn insert(&self, tx: &mut Tx) -> Result<(), sealpost_store::Error> {
        let values = params![self.person, self.place, self.tenant, self.since, self.mac];
        tx.execute(&schema::PLACE_INSERT, values).map(drop)
    }

    fn covered<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (tenant, since) = (self.tenant.raw().to_be_bytes(), self.since.millis().to_be_bytes());
        with(&[&tenant, &since, &self.place])
    }
}

/// A /24 of IPv4 or a /64 of IPv6, as one text for each.
pub(crate) fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

impl Identity {
    /// A network as rows hold it.
    pub(crate) fn blind_network(&self, ip: IpAddr) -> [u8; 16] {
        self.inner.keys.instance().blind("throttle.network", network(ip).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_customer_gets() {
        for (ip, want) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.9", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(ip.parse().expect("an address")), want);
        }
    }
}
