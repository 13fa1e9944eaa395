//! Who has read and written what.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use types::{Key, TableId};

/// Keys and ranges of one table that a transaction has notes of; past them, the whole table counts as read.
const READS_MAX: usize = 2_000;
/// The same for keys written.
const WRITES_MAX: usize = 20_000;

/// All notes, by table.
#[derive(Default)]
pub(super) struct Notes {
    tables: HashMap<TableId, Table>,
    len: usize,
}

/// What one transaction has noted: where to forget it.
#[derive(Default)]
pub(super) struct Noted {
    tables: HashMap<TableId, Own>,
}

#[derive(Default)]
struct Own {
    keys: Vec<Key>,
    ranges: usize,
    reads_all: bool,
    writes: Vec<Key>,
    writes_all: bool,
    /// So many of the writes are noted as read as well.
    writes_read: usize,
}

#[derive(Default)]
struct Table {
    keys: HashMap<Key, Vec<u64>>,
    ranges: Vec<Range>,
    readers: Vec<u64>,
    writes: BTreeMap<Key, Vec<u64>>,
    writers: Vec<u64>,
}

struct Range {
    from: Bound<Key>,
    to: Bound<Key>,
    reader: u64,
}

impl Range {
    fn has(&self, key: &[u8]) -> bool {
        let behind = match &self.from {
            Bound::Included(from) => **from <= *key,
            Bound::Excluded(from) => **from < *key,
            Bound::Unbounded => true,
        };
        behind
            && match &self.to {
                Bound::Included(to) => *key <= **to,
                Bound::Excluded(to) => *key < **to,
                Bound::Unbounded => true,
            }
    }
}

impl Notes {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns who has written it.
    pub(super) fn read_key(&mut self, noted: &mut Noted, me: u64, table: TableId, key: &[u8]) -> Vec<u64> {
        let own = noted.tables.entry(table).or_default();
        if own.reads_all {
            return Vec::new();
        }
        if own.keys.len() + own.ranges >= READS_MAX {
            return self.read_table(noted, me, table);
        }
        let found = self.tables.entry(table).or_default();
        let readers = found.keys.entry(Key::from(key)).or_default();
        if readers.contains(&me) {
            return Vec::new();
        }
        readers.push(me);
        own.keys.push(Key::from(key));
        self.len += 1;
        found.writes.get(key).into_iter().flatten().chain(&found.writers).copied().collect()
    }

    /// Returns who has written any of it.
    pub(super) fn read_range(
        &mut self,
        noted: &mut Noted,
        me: u64,
        table: TableId,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> Vec<u64> {
        let own = noted.tables.entry(table).or_default();
        if own.reads_all {
            return Vec::new();
        }
        if own.keys.len() + own.ranges >= READS_MAX {
            return self.read_table(noted, me, table);
        }
        let found = self.tables.entry(table).or_default();
        let range = Range { from: from.map(Key::from), to: to.map(Key::from), reader: me };
        let start = found.writes.range::<[u8], _>((from, Bound::Unbounded));
        let written = start.take_while(|(key, _)| range.has(key)).flat_map(|(_, writers)| writers);
        let mut writers: Vec<u64> = written.chain(&found.writers).copied().collect();
        writers.sort_unstable();
        writers.dedup();
        found.ranges.push(range);
        own.ranges += 1;
        self.len += 1;
        writers
    }

    /// Returns who has written it.
    pub(super) fn read_table(&mut self, noted: &mut Noted, me: u64, table: TableId) -> Vec<u64> {
        let own = noted.tables.entry(table).or_default();
        if std::mem::replace(&mut own.reads_all, true) {
            return Vec::new();
        }
        // What it has noted of it is part of that.
        let keys = std::mem::take(&mut own.keys);
        let ranges = std::mem::take(&mut own.ranges);
        self.forget_reads(me, table, keys, ranges);
        let found = self.tables.entry(table).or_default();
        found.readers.push(me);
        self.len += 1;
        let mut writers: Vec<u64> = found.writes.values().flatten().chain(&found.writers).copied().collect();
        writers.sort_unstable();
        writers.dedup();
        writers
    }

    /// Returns who has read it.
    pub(super) fn write_key(&mut self, noted: &mut Noted, me: u64, table: TableId, key: &[u8]) -> Vec<u64> {
        let own = noted.tables.entry(table).or_default();
        if own.writes_all {
            return Vec::new();
        }
        if own.writes.len() >= WRITES_MAX {
            return self.write_table(noted, me, table);
        }
        let found = self.tables.entry(table).or_default();
        let writers = found.writes.entry(Key::from(key)).or_default();
        if writers.contains(&me) {
            return Vec::new();
        }
        writers.push(me);
        own.writes.push(Key::from(key));
        self.len += 1;
        let ranges = found.ranges.iter().filter(|range| range.has(key)).map(|range| &range.reader);
        let mut readers: Vec<u64> =
            found.keys.get(key).into_iter().flatten().chain(ranges).chain(&found.readers).copied().collect();
        readers.sort_unstable();
        readers.dedup();
        readers
    }

    /// Returns who has read any of it.
    pub(super) fn write_table(&mut self, noted: &mut Noted, me: u64, table: TableId) -> Vec<u64> {
        let own = noted.tables.entry(table).or_default();
        if std::mem::replace(&mut own.writes_all, true) {
            return Vec::new();
        }
        let found = self.tables.entry(table).or_default();
        found.writers.push(me);
        self.len += 1;
        let ranges = found.ranges.iter().map(|range| &range.reader);
        let mut readers: Vec<u64> = found.keys.values().flatten().chain(ranges).chain(&found.readers).copied().collect();
        readers.sort_unstable();
        readers.dedup();
        readers
    }

    /// Notes all that a transaction has written as read by it, too. Returns who else has written any of it. Costs what was written since the
    /// last time.
    pub(super) fn read_written(&mut self, noted: &mut Noted, me: u64) -> Vec<u64> {
        let mut written = Vec::new();
        for (table, own) in &mut noted.tables {
            let keys = own.writes[own.writes_read..].to_vec();
            own.writes_read = own.writes.len();
            if own.writes_all || !keys.is_empty() {
                written.push((*table, own.writes_all, keys));
            }
        }
        let mut writers = Vec::new();
        for (table, all, keys) in written {
            if all {
                writers.extend(self.read_table(noted, me, table));
            }
            for key in keys {
                writers.extend(self.read_key(noted, me, table, &key));
            }
        }
        writers
    }

    /// Forgets all notes of a transaction.
    pub(super) fn forget(&mut self, me: u64, noted: Noted) {
        for (id, own) in noted.tables {
            self.forget_reads(me, id, own.keys, own.ranges);
            let Entry::Occupied(mut entry) = self.tables.entry(id) else { continue };
            let table = entry.get_mut();
            for key in own.writes {
                if let Some(writers) = table.writes.get_mut(&key) {
                    writers.retain(|writer| *writer != me);
                    if writers.is_empty() {
                        table.writes.remove(&key);
                    }
                }
                self.len -= 1;
            }
            if own.reads_all {
                table.readers.retain(|reader| *reader != me);
                self.len -= 1;
            }
            if own.writes_all {
                table.writers.retain(|writer| *writer != me);
                self.len -= 1;
            }
            let is_empty = table.keys.is_empty()
                && table.ranges.is_empty()
                && table.readers.is_empty()
                && table.writes.is_empty()
                && table.writers.is_empty();
            if is_empty {
                entry.remove();
            }
        }
    }

    fn forget_reads(&mut self, me: u64, table: TableId, keys: Vec<Key>, ranges: usize) {
        let Some(found) = self.tables.get_mut(&table) else { return };
        self.len -= keys.len() + ranges;
        for key in keys {
            if let Some(readers) = found.keys.get_mut(&key) {
                readers.retain(|reader| *reader != me);
                if readers.is_empty() {
                    found.keys.remove(&key);
                }
            }
        }
        if ranges > 0 {
            found.ranges.retain(|range| range.reader != me);
        }
    }
}
