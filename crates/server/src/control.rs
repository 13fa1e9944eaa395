//! One connection as the rest of the server sees it: something to cancel, to end, to list.
//!
//! ```text
//!                   begin              end
//! idle -----------> running ---------> idle        cancel() has an effect while running only: while there is something to do
//!   \_ drain: ends when idle and outside a transaction; drain_statement: when idle
//!    \_ terminate: ends now, also in the middle of a statement or of a write to a slow client
//!     \_ gone: the client's side is closed; as terminate, but nobody is told
//! logging in, parting --> give_way: ends now, for another that wants to log in
//! ```
//!
//! 1. Only the connection's own task acts; everybody else leaves a mark here and wakes it.
//! 2. The session's [`Cancel`] flag is set with the mark, so that a statement that blocks a thread (waiting for a row) ends too.
//! 3. A secret is compared in a time that does not depend on where it differs.
//!
//! Not here: how a client proves that it may cancel (`startup`), noticing that it is gone (`watch`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use txn::Cancel;

use crate::error::{Failure, cancelled, shutting_down, too_many_logins};

const RUNNING: u8 = 1;
const CANCEL: u8 = 2;
const DRAIN: u8 = 4;
const TERMINATE: u8 = 8;
const GONE: u8 = 16;
const DRAIN_STATEMENT: u8 = 32;
const GIVE_WAY: u8 = 64;

/// The marks of one connection.
pub(crate) struct Control {
    /// What `pg_backend_pid()` answers and a CancelRequest names.
    pub(crate) process_id: i32,
    secret: OnceLock<Box<[u8]>>,
    marks: AtomicU8,
    changed: Notify,
    cancel: OnceLock<Arc<Cancel>>,
    socket: Weak<TcpStream>,
}

fn interruption(marks: u8) -> Option<Failure> {
    if marks & GONE != 0 {
        Some(Failure::Gone(None))
    } else if marks & TERMINATE != 0 {
        Some(Failure::Fatal(shutting_down()))
    } else if marks & CANCEL != 0 {
        Some(Failure::Statement(cancelled()))
    } else {
        None
    }
}

fn ending(marks: u8, in_transaction: bool) -> Option<Failure> {
    let ends = TERMINATE | DRAIN_STATEMENT | if in_transaction { 0 } else { DRAIN };
    if marks & GONE != 0 {
        Some(Failure::Gone(None))
    } else if marks & ends != 0 {
        Some(Failure::Fatal(shutting_down()))
    } else {
        None
    }
}

impl Control {
    fn new(process_id: i32, socket: Weak<TcpStream>) -> Control {
        Control {
            process_id,
            secret: OnceLock::new(),
            marks: AtomicU8::new(0),
            changed: Notify::new(),
            cancel: OnceLock::new(),
            socket,
        }
    }

    /// The login is done: from now on a client that knows `secret` may cancel what runs under `cancel`.
    pub(crate) fn logged_in(&self, secret: Box<[u8]>, cancel: Arc<Cancel>) {
        let _ = self.secret.set(secret);
        let _ = self.cancel.set(cancel);
    }

    /// The client has sent something: what was asked before is forgotten.
    pub(crate) fn begin(&self) {
        self.forget();
        self.marks.fetch_or(RUNNING, Ordering::SeqCst);
    }

    /// The client is told of an error: a cancel was for what had it.
    pub(crate) fn forget(&self) {
        if let Some(cancel) = self.cancel.get() {
            cancel.clear();
        }
        let marks = self.marks.fetch_and(!CANCEL, Ordering::SeqCst);
        if marks & (TERMINATE | GONE) != 0 {
            self.set_cancel();
        }
    }

    /// There is nothing to do any more.
    pub(crate) fn end(&self) {
        self.marks.fetch_and(!RUNNING, Ordering::SeqCst);
    }

    /// Stops what the client has sent and is not answered yet, if there is something (57014).
    pub(crate) fn cancel(&self) {
        if self.marks.load(Ordering::SeqCst) & RUNNING != 0 {
            self.mark(CANCEL);
            self.set_cancel();
        }
    }

    /// Ends the connection once it is idle outside a transaction (57P01).
    pub(crate) fn drain(&self) {
        self.mark(DRAIN);
    }

    /// Ends the connection once it is idle (57P01).
    pub(crate) fn drain_statement(&self) {
        self.mark(DRAIN_STATEMENT);
    }

    /// Ends the connection now (57P01).
    pub(crate) fn terminate(&self) {
        self.mark(TERMINATE);
        self.set_cancel();
    }

    /// Ends a connection that has not logged in, for another that wants to (53300).
    pub(crate) fn give_way(&self) {
        self.mark(GIVE_WAY);
    }

    pub(crate) fn gives_way(&self) -> bool {
        self.marks.load(Ordering::SeqCst) & GIVE_WAY != 0
    }

    /// Waits until a connection that has not logged in is to end.
    pub(crate) async fn login_ended(&self) -> Failure {
        let gives_way = |marks: u8| (marks & GIVE_WAY != 0).then(|| Failure::Fatal(too_many_logins()));
        self.until(|marks| ending(marks, false).or_else(|| gives_way(marks))).await
    }

    /// Waits until another needs the place of one that has not logged in.
    pub(crate) async fn place_needed(&self) {
        self.until(|marks| (marks & GIVE_WAY != 0).then_some(())).await;
    }

    /// The client is not there any more.
    pub(crate) fn gone(&self) {
        self.mark(GONE);
        self.set_cancel();
    }

    /// True from a client's first byte until everything it has sent is answered.
    pub(crate) fn is_running(&self) -> bool {
        self.marks.load(Ordering::SeqCst) & RUNNING != 0
    }

    /// The client's socket, unless it is closed.
    pub(crate) fn socket(&self) -> Option<Arc<TcpStream>> {
        self.socket.upgrade()
    }

    /// Waits until the running statement is to stop, and says why.
    pub(crate) async fn interrupted(&self) -> Failure {
        self.until(interruption).await
    }

    /// Why the running statement is to stop, if it is.
    pub(crate) fn interruption(&self) -> Option<Failure> {
        interruption(self.marks.load(Ordering::SeqCst))
    }

    /// Waits until an idle connection is to end. `in_transaction` spares it from [`Control::drain`].
    pub(crate) async fn ended(&self, in_transaction: bool) -> Failure {
        self.until(|marks| ending(marks, in_transaction)).await
    }

    async fn until<T>(&self, found: impl Fn(u8) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = found(self.marks.load(Ordering::SeqCst)) {
                return found;
            }
            changed.await;
        }
    }

    fn mark(&self, mark: u8) {
        self.marks.fetch_or(mark, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Tells the running statement to stop, whatever the reason.
    pub(crate) fn set_cancel(&self) {
        if let Some(cancel) = self.cancel.get() {
            cancel.set();
        }
    }

    fn knows(&self, secret: &[u8]) -> bool {
        self.secret.get().is_some_and(|own| same_secret(own, secret))
    }
}

impl sql::Backend for Control {
    fn cancel(&self) {
        Control::cancel(self);
    }

    fn terminate(&self) {
        Control::terminate(self);
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

/// Compares all of two secrets of equal length, whatever they hold.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| std::hint::black_box(differing | (a ^ b))) == 0
}

/// All connections, from accept to close.
#[derive(Default)]
pub(crate) struct Registry {
    connections: Mutex<HashMap<i32, Arc<Control>>>,
    last_process_id: AtomicI32,
    closed: Notify,
}

impl Registry {
    /// Lists a new connection until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Registry>, socket: Weak<TcpStream>) -> Entry {
        let mut connections = self.connections.lock();
        let process_id = loop {
            // Wraps after two billion connections; a number still in use is passed over.
            let id = self.last_process_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if id != 0 && !connections.contains_key(&id) {
                break id;
            }
        };
        let control = Arc::new(Control::new(process_id, socket));
        connections.insert(process_id, Arc::clone(&control));
        Entry { registry: Arc::clone(self), control }
    }

    /// Cancels what a connection runs, if `secret` is its own; else nothing happens and nobody is told.
    pub(crate) fn cancel(&self, process_id: i32, secret: &[u8]) {
        let control = self.connections.lock().get(&process_id).map(Arc::clone);
        match control {
            Some(control) if control.knows(secret) => control.cancel(),
            _ => tracing::info!(process_id, "a cancel request does not match any connection"),
        }
    }

    /// Every connection there is now.
    pub(crate) fn all(&self) -> Vec<Arc<Control>> {
        self.connections.lock().values().map(Arc::clone).collect()
    }

    /// How many connections there are now.
    pub(crate) fn len(&self) -> usize {
        self.connections.lock().len()
    }

    /// Waits until there is none.
    pub(crate) async fn empty(&self) {
        loop {
            let closed = self.closed.notified();
            if self.connections.lock().is_empty() {
                return;
            }
            closed.await;
        }
    }
}

/// A connection's place in the [`Registry`].
pub(crate) struct Entry {
    registry: Arc<Registry>,
    pub(crate) control: Arc<Control>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.connections.lock().remove(&self.control.process_id);
        self.registry.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(registry: &Arc<Registry>) -> Entry {
        let entry = registry.enter(Weak::new());
        entry.control.logged_in(Box::new([1, 2, 3, 4]), Arc::new(Cancel::new()));
        entry
    }

    #[test]
    fn a_cancel_needs_the_secret_and_a_running_statement() {
        let registry = Arc::new(Registry::default());
        let entry = entry(&registry);
        let control = &entry.control;
        let cancelled = || matches!(control.interruption(), Some(Failure::Statement(_)));
        registry.cancel(control.process_id, &[1, 2, 3, 4]);
        assert!(!cancelled(), "nothing runs");
        control.begin();
        for wrong in [&[][..], &[1, 2, 3], &[1, 2, 3, 5], &[1, 2, 3, 4, 0]] {
            registry.cancel(control.process_id, wrong);
        }
        registry.cancel(control.process_id + 1, &[1, 2, 3, 4]);
        assert!(!cancelled(), "the secret or the process is wrong");
        registry.cancel(control.process_id, &[1, 2, 3, 4]);
        assert!(cancelled() && control.cancel.get().unwrap().is_set());
        control.end();
        control.begin();
        assert!(!cancelled() && !control.cancel.get().unwrap().is_set(), "the next statement is another");
    }

    #[test]
    fn the_end_of_a_connection_outlives_its_statements() {
        let registry = Arc::new(Registry::default());
        let entry = entry(&registry);
        entry.control.terminate();
        entry.control.begin();
        assert!(matches!(entry.control.interruption(), Some(Failure::Fatal(_))));
        assert!(entry.control.cancel.get().unwrap().is_set());
        entry.control.gone();
        assert!(matches!(entry.control.interruption(), Some(Failure::Gone(_))), "nobody is there to be told");
        assert_eq!(registry.len(), 1);
        drop(entry);
        assert_eq!(registry.len(), 0);
    }
}
