//! Noticing clients that vanish while their statement runs.
//!
//! ```text
//! every 250 ms   running connections --poll(POLLRDHUP)--> those whose client closed its side: Control::gone
//! ```
//!
//! A connection does not read while its statement runs (what is behind it may be a long pipeline), so it cannot see the end of the
//! stream; and a statement that waits for a row lock blocks its thread. One task asks the kernel for all of them instead. What a
//! vanished client had begun is rolled back and its locks are free within that interval.
//!
//! Not here: an idle client's end, which its own read sees; a peer that is cut off without a FIN, which keepalive finds (`socket`).
//! Source: PostgreSQL's `client_connection_check_interval`, which is off by default there.

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::control::Registry;

const INTERVAL: Duration = Duration::from_millis(250);

/// Runs until the registry is gone.
pub(crate) async fn watch(registry: Weak<Registry>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        look(&registry);
    }
}

fn look(registry: &Registry) {
    let running: Vec<_> = registry
        .all()
        .into_iter()
        .filter(|control| control.is_running())
        .filter_map(|control| control.socket().map(|socket| (control, socket)))
        .collect();
    if running.is_empty() {
        return;
    }
    let mut descriptors: Vec<PollFd<'_>> =
        running.iter().map(|(_, socket)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::RDHUP)).collect();
    match poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return,
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "look for vanished clients");
            return;
        }
    }
    let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    for ((control, _), descriptor) in running.iter().zip(&descriptors) {
        if descriptor.revents().intersects(closed) {
            tracing::info!(process_id = control.process_id, "the client vanished while its statement ran");
            control.gone();
        }
    }
}

/// Starts watching in the background.
pub(crate) fn start(registry: &Arc<Registry>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(watch(Arc::downgrade(registry)))
}
