//! Threads by number.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The calling thread's own number, from 0 in the order in which threads first ask: to spread what each writes over places of their own.
pub fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    OWN.with(|own| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_and_keeps_it() {
        let (here, there) = std::thread::scope(|scope| (thread_number(), scope.spawn(thread_number).join().unwrap()));
        assert_ne!(here, there);
        assert_eq!(here, thread_number());
    }
}
