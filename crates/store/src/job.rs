//! A closure on its way through a storage thread, and the answer on its way back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::{Error, ReadTx, Tx};

/// What is to become of a closure's changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Keep,
    Undo,
}

/// A closure over a transaction of type `X`. It may run several times; its last result is the one that counts.
pub(crate) trait Job<X>: Send {
    /// Runs the closure.
    fn run(&mut self, tx: &mut X) -> Verdict;

    /// Answers the closure's own result, or what went wrong with the transaction.
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

struct Unit<F, T, E> {
    f: F,
    result: Option<Result<T, E>>,
    to: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Unit<F, T, E>
where
    T: Send,
    E: From<Error> + Send,
{
    fn keep(&mut self, result: Result<T, E>) -> Verdict {
        let verdict = if result.is_ok() { Verdict::Keep } else { Verdict::Undo };
        self.result = Some(result);
        verdict
    }

    fn send(self, outcome: Result<(), Error>) {
        let result = match outcome {
            Ok(()) => self.result.unwrap_or_else(|| Err(Error::Bug("a closure did not run".into()).into())),
            Err(e) => Err(e.into()),
        };
        // Whoever no longer waits does not hear of it; what was done stays done.
        let _ = self.to.send(result);
    }
}

impl<F, T, E> Job<Tx> for Unit<F, T, E>
where
    F: Fn(&mut Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> Verdict {
        let result = (self.f)(tx);
        self.keep(result)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        self.send(outcome);
    }
}

impl<F, T, E> Job<ReadTx> for Unit<F, T, E>
where
    F: Fn(&ReadTx) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut ReadTx) -> Verdict {
        let result = (self.f)(tx);
        self.keep(result)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        self.send(outcome);
    }
}

/// A job that writes, and where its answer will be.
pub(crate) fn write<F, T, E>(f: F) -> (Box<dyn Job<Tx>>, Answer<T, E>)
where
    F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (to, from) = oneshot::channel();
    (Box::new(Unit { f, result: None, to }), Answer(from))
}

/// A job that reads, and where its answer will be.
pub(crate) fn read<F, T, E>(f: F) -> (Box<dyn Job<ReadTx>>, Answer<T, E>)
where
    F: Fn(&ReadTx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (to, from) = oneshot::channel();
    (Box::new(Unit { f, result: None, to }), Answer(from))
}

/// Where a job's answer arrives.
pub(crate) struct Answer<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<Error>> Answer<T, E> {
    pub(crate) async fn wait(self) -> Result<T, E> {
        self.0.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    pub(crate) fn block(self) -> Result<T, E> {
        block_on(self.wait())
    }
}

/// Waits for a future on this thread. Unlike tokio's own, also inside a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    // Inside a task the channel would count against the task's budget, which nobody refills while this thread waits.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
