//! The one thread that writes: takes what came while it synced, changes a draft, commits it, then shows it.

use std::sync::{Arc, PoisonError, mpsc};

use sealpost_crypto::{Key, Random};
use sealpost_model::LifeKeyId;
use tokio::sync::oneshot;

use super::disk::{Change, Disk};
use super::list::List;
use super::page::Leaf;
use super::{Error, Place, Places, Result, Shared, raw_parts};
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
    places: Places,
    master: Master,
    random: Random,
    steps: Steps,
    /// `None` after a failure, until it opens again.
    disk: Option<Disk>,
    /// `None` after a failure, until something has to die.
    list: Option<List>,
    shared: Arc<Shared>,
}

impl Writer {
    pub fn open(
        places: &Places,
        master: &Master,
        random: &Random,
        steps: Steps,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let mut writer = Self {
            places: places.clone(),
            master: master.clone(),
            random: random.clone(),
            steps,
            disk: None,
            list: None,
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
            // Apart, so that a second place out of reach holds up destructions alone.
            let (create, destroy): (Vec<_>, Vec<_>) =
                jobs.into_iter().partition(|job| matches!(job, Job::Create { .. }));
            for jobs in [create, destroy] {
                if !jobs.is_empty() {
                    self.group(jobs);
                }
            }
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
        let noted = Self::note(&self.places, &mut self.list, &mut draft);
        let outcome = match noted {
            Ok(()) => {
                let change = draft.change;
                let outcome = self.commit(change);
                if let Err(error) = &outcome {
                    tracing::error!(%error, "the key ring could not be written; it is opened again");
                    // What was written is unknown: only the files can say.
                    self.disk = None;
                    if let Err(error) = self.reopen() {
                        tracing::error!(%error, "the key ring could not be opened again");
                    }
                }
                outcome
            }
            Err(error) => {
                tracing::error!(%error, "the list of destructions could not be written, so nothing was destroyed");
                self.list = None;
                Err(error)
            }
        };
        for job in done {
            // Whoever went away leaves a key that wraps nothing.
            match job {
                Done::Create(keys, reply) => drop(reply.send(outcome.clone().map(|()| keys))),
                Done::Destroy(reply) => drop(reply.send(outcome.clone())),
            }
        }
    }

    /// Puts what will be destroyed on the list, before it is.
    fn note(places: &Places, list: &mut Option<List>, draft: &mut Draft<'_>) -> Result<()> {
        if draft.dead.is_empty() {
            return Ok(());
        }
        let list = match list {
            Some(list) => list,
            None => {
                let history =
                    draft.shared.tree.read().unwrap_or_else(PoisonError::into_inner).history.clone();
                let (opened, noted) = List::open(places, &history)?;
                // Noted at one place, before the other failed.
                noted.into_iter().for_each(|id| draft.destroy(id));
                list.insert(opened)
            }
        };
        list.append(&draft.dead)
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
        let Place::Folder(folder) = &self.places.ring;
        let (disk, tree) = Disk::open(folder, &self.master)?;
        let (list, dead) = List::open(&self.places, &tree.history)?;
        let left: Vec<LifeKeyId> = dead.into_iter().filter(|id| tree.key(*id).is_some()).collect();
        (self.disk, self.list) = (Some(disk), Some(list));
        *self.shared.tree.write().unwrap_or_else(PoisonError::into_inner) = tree;
        self.forget_ciphers();
        if left.is_empty() {
            return Ok(());
        }
        // Noted, and not carried out: the process ended in between, or the ring's files were put back.
        tracing::info!(keys = left.len(), "life keys on the list of destructions are destroyed again");
        let mut draft = Draft::new(&self.shared, &self.random);
        left.iter().for_each(|id| draft.destroy(*id));
        let change = draft.change;
        self.commit(change)
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
    /// Life keys that it destroys.
    dead: Vec<LifeKeyId>,
    /// The leaf that takes new keys.
    open: Option<i64>,
}

impl<'a> Draft<'a> {
    fn new(shared: &'a Shared, random: &'a Random) -> Self {
        let tree = shared.tree.read().unwrap_or_else(PoisonError::into_inner);
        let open = tree.leaves.last_key_value().filter(|(_, leaf)| !leaf.is_full()).map(|(id, _)| *id);
        let change = Change { next_leaf: tree.next_leaf, ..Change::default() };
        drop(tree);
        Self { shared, random, change, dead: Vec::new(), open }
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
        self.dead.push(id);
        let Some(leaf) = self.leaf(number) else { return };
        let dead = leaf.is_dead() && leaf.is_full();
        if dead {
            self.change.leaves.insert(number, None);
        }
        self.change.rekey = true;
    }
}
