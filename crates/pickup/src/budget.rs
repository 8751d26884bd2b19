//! What may be tried in a day, by recipient, sender and network, over all messages and codes (S30, S50): a new code
//! refills none of it.

use std::net::{IpAddr, Ipv6Addr};

use sealpost_model::{AccountId, Id, Time};
use sealpost_store::keys::TenantKeys;
use sealpost_store::{Tx, params};

use crate::row::Row;
use crate::{Error, schema};

/// The holders that a try is charged to.
#[derive(Clone)]
pub(crate) struct Budget {
    holders: [(i64, [u8; 16], i64); 3],
    day: i32,
}

impl Budget {
    pub fn new(keys: &TenantKeys, row: &Row, sender: AccountId, ip: IpAddr, now: Time) -> Self {
        let recipient = row.address_index;
        let sender = keys.blind("pickup_budget.sender", &sender.raw().to_be_bytes());
        let network = keys.blind("pickup_budget.network", network(ip).to_string().as_bytes());
        Self {
            holders: [(1, recipient, PER_RECIPIENT), (2, sender, PER_SENDER), (3, network, PER_NETWORK)],
            day: now.day(),
        }
    }

    /// Counts a try, unless one of the holders has none left; then nothing is counted.
    pub fn charge(&self, tx: &mut Tx) -> Result<bool, Error> {
        for (kind, holder, most) in &self.holders {
            let spent =
                tx.row(&schema::BUDGET, params![*kind, *holder, self.day], |r| r.int(0))?.unwrap_or(0);
            if spent >= *most {
                return Ok(false);
            }
        }
        for (kind, holder, _) in &self.holders {
            tx.execute(&schema::CHARGE, params![*kind, *holder, self.day])?;
        }
        Ok(true)
    }

    /// A try that was right costs nothing.
    pub fn refund(&self, tx: &mut Tx) -> Result<(), Error> {
        for (kind, holder, _) in &self.holders {
            tx.execute(&schema::REFUND, params![*kind, *holder, self.day])?;
        }
        Ok(())
    }
}

/// What one customer has: an IPv4 address, an IPv6 /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// Four codes of five tries each: all that one message allows.
const PER_RECIPIENT: i64 = 20;
const PER_SENDER: i64 = 100;
const PER_NETWORK: i64 = 60;
