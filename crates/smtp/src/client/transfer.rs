//! One message to the recipients of one domain: hosts in order, and a verdict for each recipient.

use std::time::Duration;

use sealpost_delivery::{Evidence, Outcome};
use sealpost_model::{Address, Domain, Protocol, QueueId};
use sealpost_net::connect_any;
use sealpost_policy::{Grade, Reason};
use tokio::time::Instant;

use super::courier::Settings;
use super::dialog::{CONNECT, Peer, Said, Trouble, is_size};
use super::letter::{Content, Letter};
use super::target::{Host, Hosts, addresses, hosts};
use crate::codec::Reply;

/// Those recipients of a message who share a domain and a floor.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) domain: Domain,
    pub(crate) floor: Grade,
    pub(crate) to: Vec<(QueueId, Address)>,
}

/// What has been met so far.
#[derive(Default)]
struct Met {
    /// A host at the floor that was spoken to and left recipients for later.
    later: Option<Evidence>,
    /// The first host below the floor, or without what the message needs.
    unfit: Option<(Reason, Evidence)>,
    /// A host that could not be spoken to.
    unreachable: Option<Evidence>,
}

/// Carries `letter` to a group.
pub(crate) async fn transfer<C: Content>(
    settings: &Settings,
    letter: &Letter<C>,
    group: Group,
) -> Vec<(QueueId, Outcome)> {
    let Group { domain, floor, to: mut waiting } = group;
    let mut outcomes = Vec::with_capacity(waiting.len());
    let list = match hosts(settings, &domain).await {
        Hosts::Try(list) => list,
        Hosts::Nobody(why) => {
            let outcome = Outcome::Rejected { reason: Reason::DomainTakesNoMail, evidence: seen(why) };
            return waiting.into_iter().map(|(id, _)| (id, outcome.clone())).collect();
        }
        Hosts::Later(why) => {
            let outcome = Outcome::Retry { reason: Reason::TransportUnreachable, evidence: seen(&why) };
            return waiting.into_iter().map(|(id, _)| (id, outcome.clone())).collect();
        }
    };
    let mut met = Met::default();
    let began = Instant::now();
    for host in &list {
        if waiting.is_empty() {
            break;
        }
        if began.elapsed() > ENOUGH {
            // Not all were tried, so there is no verdict on the domain yet.
            met.later
                .get_or_insert_with(|| seen("the domain's mail servers are too slow; not all were tried"));
            break;
        }
        let (decided, left) = try_host(settings, host, floor, letter, waiting, &mut met).await;
        outcomes.extend(decided);
        waiting = left;
    }
    let verdict = met.verdict();
    outcomes.extend(waiting.into_iter().map(|(id, _)| (id, verdict.clone())));
    outcomes
}

/// Tries the addresses of a host until one of them could be spoken to. Returns who was decided on, and who is left.
async fn try_host<C: Content>(
    settings: &Settings,
    host: &Host,
    floor: Grade,
    letter: &Letter<C>,
    mut waiting: Vec<(QueueId, Address)>,
    met: &mut Met,
) -> (Vec<(QueueId, Outcome)>, Vec<(QueueId, Address)>) {
    let list = match addresses(settings, host).await {
        Ok(list) => list,
        Err(why) => {
            met.unreachable.get_or_insert_with(|| Evidence { host: host.name.clone(), ..seen(&why) });
            return (Vec::new(), waiting);
        }
    };
    let mut left_to_try = list;
    while !left_to_try.is_empty() {
        // Both families at once, so that a path that is dead costs no time.
        let stream = match connect_any(&left_to_try, &settings.bind, Protocol::Smtp, CONNECT).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(host = host.name, "no address answers");
                met.unreachable
                    .get_or_insert_with(|| Evidence { host: host.name.clone(), ..seen(&error.to_string()) });
                break;
            }
        };
        let addr = stream.client().ip;
        left_to_try.retain(|a| a.ip() != addr);
        let mut peer = match Peer::open(settings, host, stream, floor).await {
            Ok(peer) => peer,
            Err(Trouble::Unreachable(evidence)) => {
                tracing::debug!(host = host.name, %addr, "can't be reached");
                met.unreachable.get_or_insert(evidence);
                continue;
            }
            Err(Trouble::Below(evidence)) => {
                tracing::debug!(host = host.name, %addr, "below the floor");
                met.unfit.get_or_insert((Reason::TransportBelowFloor, evidence));
                return (Vec::new(), waiting);
            }
        };
        let mut decided = Vec::new();
        let mut left = Vec::new();
        let mut whole = true;
        while whole && !waiting.is_empty() {
            let some: Vec<_> = waiting.drain(..waiting.len().min(PER_TRANSACTION)).collect();
            let to: Vec<&Address> = some.iter().map(|(_, address)| address).collect();
            match peer.send(letter, &to).await {
                Said::Each(replies) => {
                    for ((id, address), reply) in some.into_iter().zip(replies) {
                        match judge(&reply, &peer) {
                            Some(outcome) => decided.push((id, outcome)),
                            None => {
                                met.later =
                                    Some(Evidence { reply: reply.to_string(), ..peer.evidence.clone() });
                                left.push((id, address));
                            }
                        }
                    }
                }
                Said::Lacks(what) => {
                    let evidence = Evidence { reply: what.into(), ..peer.evidence.clone() };
                    met.unfit.get_or_insert((Reason::TransportLacksExtension, evidence));
                    left.extend(some);
                    whole = false;
                }
                Said::Broke(why) => {
                    met.later = Some(Evidence { reply: why, ..peer.evidence.clone() });
                    left.extend(some);
                    whole = false;
                }
            }
        }
        peer.quit().await;
        left.append(&mut waiting);
        return (decided, left);
    }
    (Vec::new(), waiting)
}

/// The outcome that a reply means, over a connection at the floor; none when it may be another one later or elsewhere.
fn judge(reply: &Reply, peer: &Peer) -> Option<Outcome> {
    let evidence = || Evidence { reply: reply.to_string(), ..peer.evidence.clone() };
    if reply.is_ok() {
        return Some(Outcome::Delivered { grade: peer.grade, evidence: evidence() });
    }
    if reply.is_permanent() {
        return Some(if is_size(reply) {
            Outcome::Unfit { reason: Reason::TransportLacksExtension, evidence: evidence() }
        } else {
            Outcome::Rejected { reason: Reason::RecipientRejected, evidence: evidence() }
        });
    }
    None
}

impl Met {
    /// What becomes of those whom no host took: DESIGN section 1, in its order.
    fn verdict(self) -> Outcome {
        match (self.later, self.unfit) {
            (Some(evidence), _) => Outcome::Retry { reason: Reason::TransportUnreachable, evidence },
            (None, Some((reason, evidence))) => Outcome::Unfit { reason, evidence },
            (None, None) => Outcome::Retry {
                reason: Reason::TransportUnreachable,
                evidence: self.unreachable.unwrap_or_default(),
            },
        }
    }
}

fn seen(what: &str) -> Evidence {
    Evidence { reply: what.to_owned(), ..Evidence::default() }
}

/// Slow servers must not hold a message's other recipients for hours.
const ENOUGH: Duration = Duration::from_secs(900);
/// What every server takes (RFC 5321 section 4.5.3.1.8).
const PER_TRANSACTION: usize = 100;
