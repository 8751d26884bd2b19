//! The one thread that writes: takes what came while it synced, changes a draft, commits it, then shows it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, mpsc};

use sealpost_crypto::{Key, Random};
use sealpost_model::LifeKeyId;
use tokio::sync::oneshot;

use super::disk::{Change, Disk};
use super::page::Leaf;
use super::{Error, Result, Shared, raw_parts};
use crate::keys::Master;

/// Life keys made or destroyed in one commit, more or less: bounds how long the first of a group waits.
const GROUP: usize = 4096;

type Created = Vec<(LifeKeyId, Key)>;

/// What callers ask for.
pub(super) enum Job {
    Create { count: usize, reply: oneshot::Sender<Result<Created>> },
    Destroy { ids: Vec<LifeKeyId>, reply: oneshot::Sender<Result<()>> },
    Rekey { pages: bool, reply: oneshot::Sender<Result<()>> },
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Create { count, .. } => *count,
            Self::Destroy { ids, .. } => ids.len(),
            Self::Rekey { .. } => 1,
        }
    }
}

/// Where a commit may stop, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    NewSlotWritten,
    PagesCommitted,
    OldSlotZeroed,
}

/// Nothing in the product; in tests, what happens between the steps.
#[derive(Default)]
pub(super) struct Steps {
    #[cfg(test)]
    pub hook: Option<StepHook>,
}

#[cfg(test)]
pub(super) type StepHook = Box<dyn Fn(Step) -> Result<()> + Send>;

impl Steps {
    pub fn pass(&self, step: Step) -> Result<()> {
        #[cfg(test)]
        if let Some(hook) = &self.hook {
            return hook(step);
        }
        let _ = step;
        Ok(())
    }
}

pub(super) struct Writer {
    folder: PathBuf,
    master: Master,
    random: Random,
    steps: Steps,
    /// `None` after a failure, until it opens again.
    disk: Option<Disk>,
    shared: Arc<Shared>,
}

impl Writer {
    pub fn open(
        folder: &Path,
        master: &Master,
        random: &Random,
        steps: Steps,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let mut writer = Self {
            folder: folder.to_owned(),
            master: master.clone(),
            random: random.clone(),
            steps,
            disk: None,
            shared,
        };
        writer.reopen()?;
        Ok(writer)
    }

    /// Until the last handle is gone and all jobs are answered.
    pub fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(first) = inbox.recv() {
            let mut size = first.size();
            let mut jobs = vec![first];
            while size < GROUP
                && let Ok(job) = inbox.try_recv()
            {
                size += job.size();
                jobs.push(job);
            }
            self.group(jobs);
        }
    }

    fn group(&mut self, jobs: Vec<Job>) {
        let mut draft = Draft::new(&self.shared, &self.random);
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            done.push(match job {
                Job::Create { count, reply } => Done::Create(draft.create(count), reply),
                Job::Destroy { ids, reply } => {
                    ids.iter().for_each(|id| draft.destroy(*id));
                    Done::Destroy(reply)
                }
                Job::Rekey { pages, reply } => {
                    draft.rekey(pages);
                    Done::Destroy(reply)
                }
            });
        }
        let outcome = self.commit(draft.change);
        if let Err(error) = &outcome {
            tracing::error!(%error, "the key ring could not be written; it is opened again");
            // What was written is unknown: only the files can say.
            self.disk = None;
            if let Err(error) = self.reopen() {
                tracing::error!(%error, "the key ring could not be opened again");
            }
        }
        for job in done {
            // Whoever went away leaves a key that wraps nothing.
            match job {
                Done::Create(keys, reply) => drop(reply.send(outcome.clone().map(|()| keys))),
                Done::Destroy(reply) => drop(reply.send(outcome.clone())),
            }
        }
    }

    fn commit(&mut self, change: Change) -> Result<()> {
        if self.disk.is_none() {
            // The draft was made on what memory shows, and the files may say otherwise.
            self.reopen()?;
            return Err(Error::Io("the key ring was opened again after a failure: try once more".to_owned()));
        }
        if change.leaves.is_empty() && !change.rekey {
            return Ok(());
        }
        let Some(disk) = &mut self.disk else { return Err(Error::Closed) };
        // Only this thread changes the tree, so readers go on meanwhile.
        let generation = {
            let tree = self.shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            disk.commit(&tree, &change, &self.random, &self.steps)?
        };
        let mut tree = self.shared.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.generation = generation;
        tree.next_leaf = change.next_leaf;
        for (id, leaf) in change.leaves {
            match leaf {
                Some(leaf) => tree.leaves.insert(id, leaf),
                None => tree.leaves.remove(&id),
            };
        }
        if change.rekey {
            self.forget_ciphers();
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<()> {
        let (disk, tree) = Disk::open(&self.folder, &self.master)?;
        self.disk = Some(disk);
        *self.shared.tree.write().unwrap_or_else(PoisonError::into_inner) = tree;
        self.forget_ciphers();
        Ok(())
    }

    fn forget_ciphers(&self) {
        self.shared.ciphers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

enum Done {
    Create(Created, oneshot::Sender<Result<Created>>),
    Destroy(oneshot::Sender<Result<()>>),
}

/// A change in the making. Leaves are copied when first touched, so that readers see nothing of it.
struct Draft<'a> {
    shared: &'a Shared,
    random: &'a Random,
    change: Change,
    /// The leaf that takes new keys.
    open: Option<i64>,
}

impl<'a> Draft<'a> {
    fn new(shared: &'a Shared, random: &'a Random) -> Self {
        let tree = shared.tree.read().unwrap_or_else(PoisonError::into_inner);
        let open = tree.leaves.last_key_value().filter(|(_, leaf)| !leaf.is_full()).map(|(id, _)| *id);
        let change = Change { next_leaf: tree.next_leaf, ..Change::default() };
        drop(tree);
        Self { shared, random, change, open }
    }

    /// The leaf, copied if it is not yet; `None` if there is no such leaf.
    fn leaf(&mut self, id: i64) -> Option<&mut Leaf> {
        if !self.change.leaves.contains_key(&id) {
            let tree = self.shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            let copy = tree.leaves.get(&id)?.draft();
            drop(tree);
            self.change.leaves.insert(id, Some(copy));
        }
        self.change.leaves.get_mut(&id)?.as_mut()
    }

    fn create(&mut self, count: usize) -> Created {
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let id = self.open_leaf();
            let key = self.random.key();
            let Some(leaf) = self.leaf(id) else { break };
            keys.push((leaf.push(id, key.clone()), key));
        }
        keys
    }

    /// A leaf with room.
    fn open_leaf(&mut self) -> i64 {
        if let Some(id) = self.open
            && self.leaf(id).is_some_and(|leaf| !leaf.is_full())
        {
            return id;
        }
        let id = self.change.next_leaf;
        self.change.next_leaf += 1;
        self.change.leaves.insert(id, Some(Leaf::new(self.random)));
        self.change.root = true;
        self.open = Some(id);
        id
    }

    fn rekey(&mut self, pages: bool) {
        self.change.rekey = true;
        let leaves: Vec<i64> = {
            let tree = self.shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            tree.leaves.keys().copied().filter(|_| pages).collect()
        };
        for number in leaves {
            let page_key = self.random.key();
            if let Some(leaf) = self.leaf(number) {
                leaf.page_key = page_key;
            }
        }
    }

    fn destroy(&mut self, id: LifeKeyId) {
        let (number, slot) = raw_parts(id);
        let known = {
            let tree = self.shared.tree.read().unwrap_or_else(PoisonError::into_inner);
            tree.key(id).is_some()
        };
        // Nobody can name a key of this very group, so what the tree does not know is gone or never was.
        if !known {
            return;
        }
        let page_key = self.random.key();
        let Some(leaf) = self.leaf(number) else { return };
        if !leaf.forget(slot) {
            return;
        }
        leaf.page_key = page_key;
        let dead = leaf.is_dead() && leaf.is_full();
        if dead {
            self.change.leaves.insert(number, None);
        }
        self.change.rekey = true;
    }
}
