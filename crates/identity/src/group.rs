//! Groups: an address with members and a rule who may write to it.
//!
//! Members of the organisation are kept by the id of their address, so that a name that is given to somebody else
//! later brings them nothing; members elsewhere are allowed only where the organisation's policy says so. A group may
//! be in a group. When a message comes, all of it is unfolded once: eight groups deep at most, each group once, each
//! mailbox once.

use std::collections::HashSet;

use sealpost_audit::{Caller, Draft, Object, Verb};
use sealpost_model::{AccountId, Address, AddressId, Id, PersonId, TenantId};
use sealpost_policy::decide::{self, Poster, Posting};
use sealpost_policy::{Denied, Reason};
use sealpost_store::keys::{Root, TenantKeys};
use sealpost_store::params;
use serde::{Deserialize, Serialize};

use crate::address::{AddressRow, Target, TargetKind};
use crate::service::aad;
use crate::{Change, Error, Identity, schema};

/// The most members of a group, and of a group with all that is in it.
pub const MOST: usize = 1_000;
/// How deep groups may lie in groups.
const DEEPEST: usize = 8;

/// A group as a list shows it. It holds names: not for logs.
#[derive(Clone, Debug)]
pub struct GroupSummary {
    /// Its address.
    pub address: Address,
    /// Who may write to it.
    pub posting: Posting,
    /// Its members, as they are written.
    pub members: Vec<Address>,
    /// Who may write to it, where that is a list.
    pub listed: Vec<Address>,
}

/// What changes about a group. What is not named stays.
#[derive(Clone, Default, Debug)]
pub struct GroupEdit {
    /// New members.
    pub add: Vec<Address>,
    /// Members that go.
    pub remove: Vec<Address>,
    /// Who may write to it from now on.
    pub posting: Option<Posting>,
    /// Further people on the list of those who may write.
    pub allow: Vec<Address>,
    /// People who leave that list.
    pub disallow: Vec<Address>,
}

/// Where mail for a group goes.
#[derive(Clone, Default, Debug)]
pub struct Unfolded {
    /// Mailboxes of the organisation, each once, with the member's address.
    pub here: Vec<(Address, AccountId)>,
    /// Addresses elsewhere.
    pub outside: Vec<Address>,
    /// The groups that were unfolded, for the log.
    pub groups: Vec<AddressId>,
}

/// What is sealed in a group's row.
#[derive(Clone, Serialize, Deserialize)]
struct Detail {
    posting: Posting,
    members: Vec<Member>,
    listed: Vec<i64>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Member {
    /// An address of the organisation, by its id.
    Here(i64),
    /// Somebody elsewhere.
    Outside(String),
}

impl Identity {
    /// Makes a group without members.
    ///
    /// # Errors
    /// [`Error::NoSuchDomain`], [`Error::AddressExists`]; the store's.
    pub async fn add_group(
        &self,
        tenant: TenantId,
        address: &Address,
        posting: Posting,
        by: &Caller,
    ) -> Result<AddressId, Error> {
        let place = self.place(tenant, address).await?;
        let keys = self.tenant_keys(tenant).await?;
        let id: AddressId = self.inner.store.id();
        let mut row = AddressRow::sealed(&keys, &place, id, address, TargetKind::Group, (0, 0, 0));
        let detail = Detail { posting, members: Vec::new(), listed: Vec::new() };
        row.target = detail.seal(&keys, &row);
        row.sign(&keys);
        let draft = self
            .address_draft(&row, Verb::AddressAdd, by)
            .note("address", address.to_string())
            .note("posting", posting.word());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?);
        self.apply(change.write(move |tx| row.insert(tx))).await?;
        Ok(id)
    }

    /// A group with its members.
    ///
    /// # Errors
    /// [`Error::NoGroup`]; the store's; a row that is not what was written.
    pub async fn group(&self, tenant: TenantId, address: &Address) -> Result<GroupSummary, Error> {
        let (row, keys) = self.group_row(tenant, address).await?;
        let detail = Detail::open(&keys, &row)?;
        let ids = detail.here().chain(detail.listed.iter().copied()).collect();
        let known = self.addresses_by_id(ids).await?;
        let named = |id: &i64| -> Option<Result<Address, Error>> {
            known.iter().find(|(row, _)| row.id.raw() == *id).map(|(row, _)| row.address(&keys))
        };
        let mut members = Vec::new();
        for member in &detail.members {
            match member {
                // An address that was removed since is no member.
                Member::Here(id) => members.extend(named(id).transpose()?),
                Member::Outside(text) => members.push(Address::parse(text).map_err(|_| row.tampered())?),
            }
        }
        let listed = detail.listed.iter().filter_map(named).collect::<Result<_, _>>()?;
        Ok(GroupSummary { address: row.address(&keys)?, posting: detail.posting, members, listed })
    }

    /// Changes a group; the entry has what was and what is (S54).
    ///
    /// # Errors
    /// [`Error::NoGroup`], [`Error::NoSuchAddress`], [`Error::GroupInItself`], [`Error::GroupFull`], [`Error::Denied`] for
    /// members elsewhere where policy allows none; the store's.
    pub async fn change_group(
        &self,
        tenant: TenantId,
        address: &Address,
        edit: GroupEdit,
        by: &Caller,
    ) -> Result<GroupSummary, Error> {
        let before = self.group(tenant, address).await?;
        let (mut row, keys) = self.group_row(tenant, address).await?;
        let mut detail = Detail::open(&keys, &row)?;
        for new in &edit.add {
            let member = self.member(tenant, new).await?;
            if member == Member::Here(row.id.raw()) {
                return Err(Error::GroupInItself);
            }
            if !detail.members.contains(&member) {
                detail.members.push(member);
            }
        }
        for old in &edit.remove {
            let gone = self.row_of(old).await?.map(|r| Member::Here(r.id.raw()));
            let outside = Member::Outside(old.key().to_owned());
            let count = detail.members.len();
            detail.members.retain(|m| Some(m) != gone.as_ref() && *m != outside);
            if detail.members.len() == count {
                return Err(Error::NoSuchAddress);
            }
        }
        for new in &edit.allow {
            let Member::Here(id) = self.member(tenant, new).await? else {
                return Err(Error::Denied(Reason::OutsideMember.into()));
            };
            if !detail.listed.contains(&id) {
                detail.listed.push(id);
            }
        }
        for old in &edit.disallow {
            let id = self.row_of(old).await?.ok_or(Error::NoSuchAddress)?.id.raw();
            detail.listed.retain(|l| *l != id);
        }
        detail.posting = edit.posting.unwrap_or(detail.posting);
        if detail.members.len() > MOST || detail.listed.len() > MOST {
            return Err(Error::GroupFull(MOST));
        }
        let was = row.version;
        row.version += 1;
        row.target = detail.seal(&keys, &row);
        row.sign(&keys);
        let text = |list: &[Address]| list.iter().map(Address::to_string).collect::<Vec<_>>().join(" ");
        let draft = self
            .address_draft(&row, Verb::AddressChange, by)
            .note("group", address.to_string())
            .note("added", text(&edit.add))
            .note("removed", text(&edit.remove))
            .note("allowed", text(&edit.allow))
            .note("disallowed", text(&edit.disallow))
            .note("old", before.posting.word())
            .note("new", detail.posting.word());
        let change = Change::new(tenant).entry(self.inner.audit.seal(draft).await?);
        self.apply(change.write(move |tx| row.update(tx, was))).await?;
        self.group(tenant, address).await
    }

    /// Where mail for a group goes, if whoever writes may. `poster` is the person who signed in to the organisation;
    /// `inside` says that it comes from the organisation at all.
    ///
    /// # Errors
    /// [`Error::Denied`] with [`Reason::GroupClosed`] or [`Reason::GroupTooLarge`]; the store's; a row that is not what
    /// was written.
    pub async fn unfold(
        &self,
        tenant: TenantId,
        group: AddressId,
        inside: bool,
        poster: Option<PersonId>,
    ) -> Result<Unfolded, Error> {
        let keys = self.tenant_keys(tenant).await?;
        let mut unfolded = Unfolded::default();
        let (mut accounts, mut people) = (HashSet::new(), HashSet::new());
        let mut seen = HashSet::from([group.raw()]);
        let mut wave = vec![group.raw()];
        let mut rule = None;
        for _ in 0..DEEPEST {
            let groups = self.addresses_by_id(std::mem::take(&mut wave)).await?;
            let mut ids = Vec::new();
            for (row, _) in &groups {
                row.check(&keys)?;
                let detail = Detail::open(&keys, row)?;
                unfolded.groups.push(row.id);
                for member in &detail.members {
                    match member {
                        Member::Here(id) => ids.push(*id),
                        Member::Outside(text) => {
                            let address = Address::parse(text).map_err(|_| row.tampered())?;
                            if !unfolded.outside.iter().any(|a| a.same(&address)) {
                                unfolded.outside.push(address);
                            }
                        }
                    }
                }
                rule.get_or_insert((detail.posting, detail.listed));
            }
            ids.retain(|id| seen.insert(*id));
            for (row, goal) in self.addresses_by_id(ids).await? {
                if row.tenant != tenant {
                    continue;
                }
                if row.kind()? == TargetKind::Group {
                    wave.push(row.id.raw());
                    continue;
                }
                let Target::Mailbox(mailbox) = self.target(&row, goal.as_ref()).await? else { continue };
                people.extend(mailbox.person);
                if accounts.insert(mailbox.account) {
                    unfolded.here.push((row.address(&keys)?, mailbox.account));
                }
            }
            if unfolded.here.len() + unfolded.outside.len() > MOST {
                return Err(Error::Denied(Reason::GroupTooLarge.into()));
            }
            if wave.is_empty() {
                break;
            }
        }
        let Some((posting, listed)) = rule else { return Err(Error::NoGroup) };
        let poster = match poster.filter(|_| inside) {
            None if inside => Poster::Inside { member: false, listed: false },
            None => Poster::Outside,
            Some(person) => Poster::Inside {
                member: people.contains(&person),
                listed: self.is_listed(listed, person).await?,
            },
        };
        decide::post(posting, poster)?;
        Ok(unfolded)
    }

    /// Whether people outside may write to a group: asked at RCPT, before anybody is known.
    pub(crate) fn takes_anyone(keys: &TenantKeys, row: &AddressRow) -> Result<bool, Error> {
        Ok(Detail::open(keys, row)?.posting == Posting::Anyone)
    }

    async fn is_listed(&self, listed: Vec<i64>, person: PersonId) -> Result<bool, Error> {
        for (row, goal) in self.addresses_by_id(listed).await? {
            if let Target::Mailbox(m) = self.target(&row, goal.as_ref()).await?
                && m.person == Some(person)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An address as a member: ours by id, others' only if policy allows that.
    async fn member(&self, tenant: TenantId, address: &Address) -> Result<Member, Error> {
        if let Some(row) = self.row_of(address).await?.filter(|r| r.tenant == tenant) {
            row.check(&*self.tenant_keys(tenant).await?)?;
            return match row.kind()? {
                TargetKind::Mailbox | TargetKind::Alias | TargetKind::Group => Ok(Member::Here(row.id.raw())),
                _ => Err(Error::NoSuchAddress),
            };
        }
        if self.domain(address.domain()).await?.is_some_and(|d| d.tenant == tenant) {
            return Err(Error::NoSuchAddress);
        }
        if !self.rules(tenant).await?.outside_members {
            return Err(Error::Denied(Denied { reason: Reason::OutsideMember }));
        }
        Ok(Member::Outside(address.key().to_owned()))
    }

    async fn group_row(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Result<(AddressRow, std::sync::Arc<TenantKeys>), Error> {
        let row = self.row_of(address).await?.filter(|r| r.tenant == tenant).ok_or(Error::NoGroup)?;
        let keys = self.tenant_keys(tenant).await?;
        row.check(&keys)?;
        if row.kind()? == TargetKind::Group { Ok((row, keys)) } else { Err(Error::NoGroup) }
    }

    /// Rows with what their aliases point to, in one read; those that are gone are left out.
    async fn addresses_by_id(&self, ids: Vec<i64>) -> Result<Vec<(AddressRow, Option<AddressRow>)>, Error> {
        let rows = self
            .inner
            .store
            .read(move |tx| {
                let mut rows = Vec::with_capacity(ids.len());
                for id in &ids {
                    let Some(row) = tx.row(&schema::ADDRESS, params![*id], AddressRow::read)? else {
                        continue;
                    };
                    let goal = match row.points_to {
                        0 => None,
                        goal => tx.row(&schema::ADDRESS, params![goal], AddressRow::read)?,
                    };
                    rows.push((row, goal));
                }
                Ok::<_, sealpost_store::Error>(rows)
            })
            .await?;
        Ok(rows)
    }

    pub(crate) fn address_draft(&self, row: &AddressRow, verb: Verb, by: &Caller) -> Draft {
        self.inner
            .audit
            .draft(row.tenant, &by.actor, &by.client, verb)
            .object(row.id)
            .object(Object::version(row.version))
    }
}

impl Detail {
    fn seal(&self, keys: &TenantKeys, row: &AddressRow) -> Vec<u8> {
        let plain = postcard::to_allocvec(self).expect("plain data is always written");
        keys.seal(Root::Content, &aad(row.tenant, "address", row.id, "target"), &plain)
    }

    fn open(keys: &TenantKeys, row: &AddressRow) -> Result<Self, Error> {
        let plain = keys.open(&aad(row.tenant, "address", row.id, "target"), &row.target);
        let plain = plain.map_err(|_| row.tampered())?;
        postcard::from_bytes(&plain).map_err(|_| row.tampered())
    }

    fn here(&self) -> impl Iterator<Item = i64> {
        self.members.iter().filter_map(|m| match m {
            Member::Here(id) => Some(*id),
            Member::Outside(_) => None,
        })
    }
}

/// Whether what a group's row has sealed opens.
pub(crate) fn verify(keys: &TenantKeys, row: &AddressRow) -> Result<(), Error> {
    if row.kind()? == TargetKind::Group { Detail::open(keys, row).map(drop) } else { Ok(()) }
}
