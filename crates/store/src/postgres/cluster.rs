//! What ties nodes together: they hear of each other's commits, and lease ids from one row.
//!
//! Each commit group leaves a row in `feed` in its own transaction, and after it one NOTIFY without payload goes out for
//! all groups that committed meanwhile: in a transaction of its own, since NOTIFY has its commits wait for each other.
//! Whoever hears it reads the rows; a poll each second is the truth, should a NOTIFY be lost. A row is read again until
//! every transaction that is older than it has ended, since those commit in any order; "look again" twice does no harm,
//! but each row is told once all the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client, Statement};

use super::session::{self, Purpose};
use super::{Blocks, Place, errors, schema};
use crate::feed::Feed;
use crate::schema::SHARE_BLOCK;
use crate::{Error, Result};

/// How the writers reach the thread.
pub(crate) struct Cluster {
    node: i64,
    pokes: UnboundedSender<Poke>,
    /// A `Tell` is on its way.
    telling: AtomicBool,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Poke {
    /// Something was committed that others may want to know.
    Tell,
    /// Ids run low.
    Ids,
    /// The store closes.
    Close,
}

impl Cluster {
    /// This process among all: an id of its own.
    pub(crate) fn node(&self) -> i64 {
        self.node
    }

    pub(crate) fn poke(&self, poke: Poke) {
        if poke == Poke::Tell && self.telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let _ = self.pokes.send(poke);
    }
}

/// The thread's state.
pub(crate) struct Listener {
    cluster: Arc<Cluster>,
    heard: UnboundedReceiver<Poke>,
    place: Place,
    feed: Feed,
    ids: Arc<Blocks>,
    /// Whether packs lie in a folder of this node, so that no other node may work on this database.
    alone: bool,
    /// Every older transaction has been heard of.
    low: Option<i64>,
    /// What was told of those that are not older.
    told: BTreeSet<i64>,
    last: Instant,
    wants_ids: bool,
}

/// The truth.
const POLL: Duration = Duration::from_secs(1);
/// Rows of the feed are kept for so long,
const KEPT: Duration = Duration::from_secs(60);
/// and who has not looked for half of that has all watchers look again.
const MISSED: Duration = Duration::from_secs(30);
/// A node that gives no sign for so long is dead to others.
const LIVES: Duration = Duration::from_secs(20);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Held by the one node of a database whose packs lie in a folder.
const ALONE: &str = "SELECT pg_try_advisory_lock(7421, 2)";

impl Cluster {
    /// This node, and the thread's state.
    pub(crate) fn new(
        node: i64,
        place: Place,
        feed: Feed,
        ids: Arc<Blocks>,
        alone: bool,
    ) -> (Arc<Self>, Listener) {
        let (pokes, heard) = unbounded_channel();
        let cluster = Arc::new(Self { node, pokes, telling: AtomicBool::new(false) });
        let listener = Listener {
            cluster: cluster.clone(),
            heard,
            place,
            feed,
            ids,
            alone,
            low: None,
            told: BTreeSet::new(),
            last: Instant::now(),
            wants_ids: false,
        };
        (cluster, listener)
    }
}

/// A connection of the thread.
struct Wire {
    client: Client,
    notified: UnboundedReceiver<i32>,
    pid: i32,
    hear: Statement,
    forget: Statement,
    forget_nodes: Statement,
    share: Statement,
    keep: Statement,
}

/// Why a connection was given up.
enum End {
    Closed,
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Listener {
    /// Connects for the first time, on the thread that opens the store: so that what is wrong stops the start.
    pub(crate) fn start(mut self) -> Result<(tokio::runtime::Runtime, Started)> {
        let runtime = session::runtime()?;
        let wire = runtime.block_on(async {
            let wire = self.connect().await?;
            self.hear(&wire).await?;
            Ok::<_, Error>(wire)
        })?;
        Ok((runtime, Started { listener: self, wire }))
    }

    async fn serve(mut self, mut wire: Wire) {
        loop {
            match self.work(&mut wire).await {
                End::Closed => return,
                End::Failed(error) => tracing::warn!(error = %error, "this node does not hear other nodes"),
            }
            wire = loop {
                match self.connect().await {
                    Ok(wire) => break wire,
                    Err(error) => tracing::warn!(error = %error, "this node does not hear other nodes"),
                }
                let pause = tokio::time::sleep(PAUSE);
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        poke = self.heard.recv() => match poke {
                            None | Some(Poke::Close) => return,
                            Some(Poke::Ids) => self.wants_ids = true,
                            Some(Poke::Tell) => {}
                        },
                    }
                }
            };
            tracing::info!("this node hears other nodes again");
            // What was committed meanwhile by us is told by their own poll; what by others, by ours.
            self.cluster.telling.store(false, Ordering::Release);
        }
    }

    async fn connect(&self) -> Result<Wire> {
        let (to, notified) = unbounded_channel();
        let drive = |mut connection: session::Wire| {
            tokio::spawn(async move {
                // Ends with the connection; the sender goes with it, and so the other side hears.
                while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notification(note) = message {
                        let _ = to.send(note.process_id());
                    }
                }
            });
        };
        let client = session::open(&self.place, Purpose::Write, drive).await?;
        let failed = |e: tokio_postgres::Error| errors::of(&e, "listen");
        client.batch_execute("LISTEN sealpost").await.map_err(failed)?;
        if self.alone {
            let free = client.query_one(ALONE, &[]).await.map_err(failed)?;
            if !free.try_get::<_, bool>(0).unwrap_or(false) {
                let why = "another node works on it, and bodies lie in a folder of one node: give all nodes the same \
                           S3 store in `[blobs] url`, or stop the other node";
                return Err(Error::Database { why: why.into() });
            }
        }
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(failed)?;
        let pid = pid.try_get(0).map_err(failed)?;
        let prepare = async |sql: &crate::Sql| client.prepare(&sql.postgres()).await.map_err(failed);
        let (hear, forget) = (prepare(&schema::HEAR).await?, prepare(&schema::FORGET).await?);
        let (share, keep) = (prepare(&SHARE_BLOCK).await?, prepare(&schema::KEEP_NODE).await?);
        let forget_nodes = prepare(&schema::FORGET_NODES).await?;
        let wire = Wire { client, notified, pid, hear, forget, forget_nodes, share, keep };
        self.live(&wire, LIVES).await?;
        Ok(wire)
    }

    async fn work(&mut self, wire: &mut Wire) -> End {
        match self.try_work(wire).await {
            Ok(()) => End::Closed,
            Err(end) => end,
        }
    }

    async fn try_work(&mut self, wire: &mut Wire) -> Result<(), End> {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut trim = Instant::now() + MISSED;
        let mut sign = Instant::now() + LIVES / 4;
        loop {
            if self.wants_ids {
                self.lease_ids(wire).await?;
            }
            tokio::select! {
                poke = self.heard.recv() => match poke {
                    None | Some(Poke::Close) => {
                        // What it had claimed is free at once.
                        let _ = self.live(wire, Duration::ZERO).await;
                        return Ok(());
                    }
                    Some(Poke::Ids) => self.wants_ids = true,
                    Some(Poke::Tell) => self.tell(wire).await?,
                },
                note = wire.notified.recv() => {
                    let Some(mut pid) = note else { return Err(errors::lost().into()) };
                    let mut others = pid != wire.pid;
                    while let Ok(next) = wire.notified.try_recv() {
                        pid = next;
                        others |= pid != wire.pid;
                    }
                    if others {
                        self.hear(wire).await?;
                    }
                }
                _ = poll.tick() => {
                    self.hear(wire).await?;
                    if Instant::now() >= sign {
                        sign = Instant::now() + LIVES / 4;
                        self.live(wire, LIVES).await?;
                    }
                    if Instant::now() >= trim {
                        trim = Instant::now() + MISSED;
                        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
                        wire.client.execute(&wire.forget, &[&kept]).await.map_err(|e| errors::of(&e, "forget"))?;
                        let nodes = wire.client.execute(&wire.forget_nodes, &[]).await;
                        nodes.map_err(|e| errors::of(&e, "forget"))?;
                    }
                }
            }
        }
    }

    /// Says that this node lives, for so long.
    async fn live(&self, wire: &Wire, span: Duration) -> Result<()> {
        let (name, span) =
            (crate::lease::node_name(self.cluster.node), i64::try_from(span.as_millis()).unwrap_or(0));
        let kept = wire.client.execute(&wire.keep, &[&name, &self.cluster.node, &span]).await;
        kept.map(drop).map_err(|e| errors::of(&e, "live"))
    }

    /// Has other nodes look. Its own commit need not reach the disk: the rows did.
    async fn tell(&self, wire: &Wire) -> Result<()> {
        self.cluster.telling.store(false, Ordering::Release);
        let told = wire
            .client
            .batch_execute("BEGIN; SET LOCAL synchronous_commit = off; NOTIFY sealpost; COMMIT")
            .await;
        told.map_err(|e| errors::of(&e, "notify"))
    }

    /// Reads what other nodes committed.
    async fn hear(&mut self, wire: &Wire) -> Result<()> {
        let failed = |e: tokio_postgres::Error| errors::of(&e, schema::HEAR.name());
        let from = self.low.unwrap_or(i64::MAX);
        let rows = wire.client.query(&wire.hear, &[&from, &self.cluster.node]).await.map_err(failed)?;
        let mut topics = Vec::new();
        for row in &rows {
            self.low = Some(row.try_get(0).map_err(failed)?);
            let change: Option<i64> = row.try_get(1).map_err(failed)?;
            if let Some(change) = change
                && self.told.insert(change)
            {
                crate::feed::Topic::parse_all(row.try_get(2).map_err(failed)?, &mut topics);
            }
        }
        if let Some(low) = self.low {
            self.told = self.told.split_off(&low);
        }
        let now = Instant::now();
        if now.duration_since(self.last) > MISSED {
            self.feed.publish_all();
        } else {
            self.feed.publish(&mut topics);
        }
        self.last = now;
        Ok(())
    }

    async fn lease_ids(&mut self, wire: &Wire) -> Result<()> {
        let failed = |e: tokio_postgres::Error| errors::of(&e, SHARE_BLOCK.name());
        let row = wire.client.query_one(&wire.share, &[&self.ids.block]).await.map_err(failed)?;
        let next: i64 = row.try_get(0).map_err(failed)?;
        self.ids.leased(next - self.ids.block);
        self.wants_ids = false;
        Ok(())
    }
}

/// A listener that is connected.
pub(crate) struct Started {
    listener: Listener,
    wire: Wire,
}

impl Started {
    /// Runs until it is poked with [`Poke::Close`]; on the runtime that it was started on.
    pub(crate) fn serve(self, runtime: &tokio::runtime::Runtime) {
        runtime.block_on(self.listener.serve(self.wire));
    }
}
