//! Connections that have not logged in yet: so many, and for another the oldest has to go.
//!
//! ```text
//! accept --> enter --> greeting, password --> left: a session
//!              |                    \_ refused --> told, left
//!              \_ full: the oldest is told 53300 and closed, or no longer waited for if it has been told
//! ```
//!
//! 1. As many as there may be sessions can log in at once, as pools do that start.
//! 2. Whoever opens connections and says nothing takes no place from those who log in: that takes milliseconds, and to push one of
//!    them out as many others have to come meanwhile.
//!
//! Not here: how many sessions there may be, and sockets altogether (`listener`).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::control::Control;

/// Those that are logging in, oldest first.
pub(crate) struct Logins {
    most: usize,
    waiting: Mutex<VecDeque<Arc<Control>>>,
}

impl Logins {
    pub(crate) fn new(most: usize) -> Arc<Logins> {
        Arc::new(Logins { most: most.max(1), waiting: Mutex::default() })
    }

    /// Counts a new connection until what is returned is dropped. Ends the oldest if there are too many.
    pub(crate) fn enter(self: &Arc<Logins>, control: &Arc<Control>) -> Login {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.most
            && let Some(oldest) = waiting.pop_front()
        {
            tracing::info!(process_id = oldest.process_id, "too many connections are logging in, closing the oldest");
            oldest.give_way();
        }
        waiting.push_back(Arc::clone(control));
        Login { logins: Arc::clone(self), process_id: control.process_id }
    }
}

/// A place in [`Logins`].
pub(crate) struct Login {
    logins: Arc<Logins>,
    process_id: i32,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.logins.waiting.lock().retain(|control| control.process_id != self.process_id);
    }
}
