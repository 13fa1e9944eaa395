//! One line that tells how far a long piece of work is: a bar with rate and time left on a terminal, else a plain line now and then.
//!
//! 1. Progress goes to standard error, so that standard output holds only results.
//! 2. Without a terminal (a log, CI) a line is written at most every five seconds, and one at the end.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::output::warn;

const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

/// What the numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Rows,
    Bytes,
}

/// A running count towards a total that may be unknown. Clones share the count; all methods may be called from any thread.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    bar: Option<ProgressBar>,
    what: String,
    unit: Unit,
    total: Option<u64>,
    done: AtomicU64,
    rows: AtomicU64,
    started: Instant,
    said_ms: AtomicU64,
}

impl Progress {
    /// Counts rows. `what` is shown in front ("lineitem").
    pub fn rows(what: &str, total: Option<u64>) -> Progress {
        Progress::new(what, Unit::Rows, total)
    }

    /// Counts bytes of input; rows are shown beside them ([`Progress::add_rows`]).
    pub fn bytes(what: &str, total: Option<u64>) -> Progress {
        Progress::new(what, Unit::Bytes, total)
    }

    fn new(what: &str, unit: Unit, total: Option<u64>) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = match total {
                Some(total) => ProgressBar::new(total),
                None => ProgressBar::no_length(),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style(unit, total.is_some()));
            bar.set_prefix(what.to_owned());
            bar
        });
        Progress {
            shared: Arc::new(Shared {
                bar,
                what: what.to_owned(),
                unit,
                total,
                done: AtomicU64::new(0),
                rows: AtomicU64::new(0),
                started: Instant::now(),
                said_ms: AtomicU64::new(0),
            }),
        }
    }

    /// Moves on by `count` rows or bytes.
    pub fn add(&self, count: u64) {
        let shared = &self.shared;
        let done = shared.done.fetch_add(count, Ordering::Relaxed) + count;
        if shared.unit == Unit::Rows {
            shared.rows.store(done, Ordering::Relaxed);
        }
        match &shared.bar {
            Some(bar) => bar.set_position(done),
            None => shared.say_now_and_then(),
        }
    }

    /// Counts rows read from the bytes that [`Progress::add`] counts.
    pub fn add_rows(&self, count: u64) {
        let rows = self.shared.rows.fetch_add(count, Ordering::Relaxed) + count;
        if let Some(bar) = &self.shared.bar {
            bar.set_message(counted(rows));
        }
    }

    /// Rows counted so far.
    pub fn rows_done(&self) -> u64 {
        self.shared.rows.load(Ordering::Relaxed)
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Ends the line with a summary: rows, time, rate.
    pub fn finish(&self) {
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
        }
        warn(&self.shared.summary());
    }

    /// Takes the bar away without a summary, so that an error stands alone.
    pub fn abandon(&self) {
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(unit: Unit, total_known: bool) -> ProgressStyle {
    let template = match (unit, total_known) {
        (Unit::Rows, true) => "{prefix:>10} {bar:30} {percent:>3}% {human_pos}/{human_len} rows, {per_sec}, {eta} left",
        (Unit::Rows, false) => "{prefix:>10} {spinner} {human_pos} rows, {per_sec}, {elapsed}",
        (Unit::Bytes, true) => "{prefix:>10} {bar:30} {percent:>3}% {msg}, {binary_bytes_per_sec}, {eta} left",
        (Unit::Bytes, false) => "{prefix:>10} {spinner} {msg}, {binary_bytes_per_sec}, {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}

impl Shared {
    fn say_now_and_then(&self) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let said_ms = self.said_ms.load(Ordering::Relaxed);
        let due = now_ms >= said_ms.saturating_add(PLAIN_LINE_EVERY.as_millis() as u64);
        // Only one of the threads that find a line due writes it.
        if due && self.said_ms.compare_exchange(said_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            warn(&self.line());
        }
    }

    fn line(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let left = self.total.filter(|total| done > 0 && *total > done).map(|total| {
            let seconds = self.started.elapsed().as_secs_f64() * (total - done) as f64 / done as f64;
            format!(", {} left", HumanDuration(Duration::from_secs_f64(seconds)))
        });
        format!("{}{}", self.summary(), left.unwrap_or_default())
    }

    fn summary(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rows = self.rows.load(Ordering::Relaxed);
        let rate = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
        let bytes = match self.unit {
            Unit::Rows => String::new(),
            Unit::Bytes => format!(" from {}", HumanBytes(self.done.load(Ordering::Relaxed))),
        };
        format!("{}: {}{bytes} in {seconds:.1} s, {} rows/s", self.what, counted(rows), HumanCount(rate as u64))
    }
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{} rows", HumanCount(rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_rows_are_counted_apart() {
        let progress = Progress::bytes("t", Some(2048));
        progress.add(1024);
        progress.add_rows(10);
        let line = progress.shared.line();
        assert!(line.starts_with("t: 10 rows from 1.00 KiB in "), "{line}");
        assert!(line.ends_with(" left"), "{line}");
        assert_eq!(progress.rows_done(), 10);
    }

    #[test]
    fn rows_are_the_count_itself() {
        let progress = Progress::rows("t", None);
        progress.add(3);
        progress.add(4);
        assert_eq!(progress.rows_done(), 7);
        assert!(progress.shared.summary().starts_with("t: 7 rows in "));
        let one = Progress::rows("t", None);
        one.add(1);
        assert!(one.shared.summary().starts_with("t: 1 row in "));
    }

    #[test]
    fn every_style_is_well_formed() {
        for unit in [Unit::Rows, Unit::Bytes] {
            for total_known in [false, true] {
                drop(style(unit, total_known));
            }
        }
    }
}
