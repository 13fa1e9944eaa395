//! The engine's limits and targets, each with what happens when it is reached.

use std::time::Duration;

use segments::DeletionVector;

/// How an engine uses memory and disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the delta (rows, before-images, index) above which writers are slowed in proportion; at twice this they are
    /// refused with 53200 until the merge has caught up, a transaction alone from this on. Default 1 GiB: about 4 M rows of 250 bytes.
    pub delta_bytes_max: u64,
    /// Bytes of packed columns of segments, and their keys, kept in memory. Default 1.25 GiB.
    pub cache_bytes_max: u64,
    /// Log bytes after which a checkpoint is made. Default 256 MiB: a restart redoes at most about that much.
    pub checkpoint_wal_bytes: u64,
    /// A checkpoint is also made after this long if anything was committed. Default 60 s.
    pub checkpoint_interval: Duration,
    /// Redo bytes of one transaction, above which it is refused with 54000: use COPY or import, which go straight to segments.
    /// Default 2 GiB less a MiB, the largest record the log takes.
    pub transaction_bytes_max: usize,
    /// Rows of a table in the delta from which cold ones are frozen into a segment. Default 262,144.
    pub freeze_rows_min: usize,
    /// Rows per segment aimed at. Default 1,048,576.
    pub segment_rows: usize,
    /// Fraction of dead rows from which a segment is rewritten. Default 0.3: each dead row reclaimed costs about 3.3 rewritten.
    pub compact_dead_fraction: f64,
    /// Segments whose key ranges overlap at one point from which they are merged. Default 8: a key lookup probes at most so many.
    pub compact_overlap: usize,
    /// Threads that encode the rows of bulk loads. Default: one more than there are cores, because one of them often waits for the
    /// disk.
    pub load_threads: usize,
    /// Bytes of a segment's dead rows, compressed, that a manifest has in itself; more go into a file of their own. Default 1 KiB.
    pub dead_rows_inline_max: usize,
    /// Bytes of disk kept free for a checkpoint on a full disk, in a file of zeros; 0 for none. Default 64 MiB.
    pub reserve_bytes: u64,
    /// Rows of one load from which they go straight into segments ([`crate::Transaction::loads_in_bulk`]). Default 65,536: about what
    /// the delta takes in a tenth of a second.
    pub bulk_rows_min: usize,
    /// Bytes of local files of packed columns, which are there to be read again faster than Parquet; 0: none are made. A tenth of the
    /// disk is left free anyway. Default 64 GiB.
    pub packed_bytes_max: u64,
    /// Size of a log file. Default 64 MiB.
    pub wal_file_bytes: u64,
    /// Bytes of commits waiting for the log writer; committers wait above it. Default 64 MiB.
    pub wal_buffer_bytes: usize,
    /// Bytes a second that the scrub reads, about; 0: there is none. Default 4 MiB: 100 GiB in seven hours.
    pub scrub_bytes_per_second: u64,
    /// From the beginning of one pass of the scrub to that of the next, at least. Default a day.
    pub scrub_interval: Duration,
    /// Whether an empty or missing directory becomes a data directory; else it is refused. Default true.
    pub create: bool,
    /// Whether a damaged directory is opened with what is left of it, and made whole; see `repair`. Default false.
    pub repair: bool,
    /// Whether background work (maintenance, scrub) is done by itself; tests of single steps turn it off.
    pub maintenance: bool,
}

impl Options {
    /// The defaults of a process that may use `memory` bytes: a sixteenth for the delta, from 64 MiB to 1 GiB, and three eighths for the
    /// cache. The delta may have twice its share for a while.
    pub fn within(memory: u64) -> Options {
        Options { delta_bytes_max: (memory / 16).clamp(64 << 20, 1 << 30), cache_bytes_max: memory / 8 * 3, ..Options::default() }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            delta_bytes_max: 1 << 30,
            cache_bytes_max: 5 << 28,
            checkpoint_wal_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(60),
            transaction_bytes_max: (2 << 30) - (1 << 20),
            freeze_rows_min: 262_144,
            segment_rows: 1 << 20,
            compact_dead_fraction: 0.3,
            compact_overlap: 8,
            load_threads: std::thread::available_parallelism().map_or(2, usize::from) + 1,
            dead_rows_inline_max: DeletionVector::INLINE_BYTES_MAX,
            reserve_bytes: 64 << 20,
            bulk_rows_min: 65_536,
            packed_bytes_max: 64 << 30,
            wal_file_bytes: 64 << 20,
            wal_buffer_bytes: 64 << 20,
            scrub_bytes_per_second: 4 << 20,
            scrub_interval: Duration::from_secs(24 * 60 * 60),
            create: true,
            repair: false,
            maintenance: true,
        }
    }
}
