//! The contents of one simulated file: what is visible, what is durable, and the states in between.
//!
//! 1. For each 4 KiB page every state since the last sync is kept (up to a few); a power loss chooses among them, page by page,
//!    and on some pages sector by sector, with garbage in some of the sectors that were written.
//! 2. Lengths have a history of their own. A page that was cut off by a length that survives does not come back.
//!
//! Not here: names (`disk`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore};

pub(super) const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// States of one page kept for a power loss to choose from; a page written more often keeps the first ones and the last.
const PAGE_STATES_MAX: usize = 8;

type Page = Arc<[u8; PAGE]>;
pub(super) type SharedInode = Arc<Mutex<Inode>>;

/// What a power loss does to the unsynced state of one file or of the names.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Lost,
    Kept,
    Mixed,
}

impl Fate {
    pub(super) fn choose(random: &mut SmallRng) -> Fate {
        match random.random_range(0..6) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            _ => Fate::Mixed,
        }
    }

    /// How many of `n` changes in order survive.
    pub(super) fn prefix(self, n: usize, random: &mut SmallRng) -> usize {
        match self {
            Fate::Lost => 0,
            Fate::Kept => n,
            Fate::Mixed => random.random_range(0..=n),
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Contents {
    len: u64,
    pages: BTreeMap<u64, Page>, // absent: a hole, reads as zeros and takes no space
}

/// A state one page had since it was durable.
struct PageState {
    at: u64,
    page: Option<Page>, // None: cut off by `set_len`
    touched: u8,        // a bit for each sector that the write to this state wrote
}

/// A file without its names.
pub(super) struct Inode {
    pub(super) id: u64,
    live: Contents,
    durable: Contents,
    unsynced_pages: BTreeMap<u64, Vec<PageState>>,
    unsynced_lens: Vec<(u64, u64)>, // when, length from then on
    changes: u64,                   // the clock of this file
}

impl Inode {
    pub(super) fn new(id: u64, contents: Contents) -> SharedInode {
        Arc::new(Mutex::new(Inode {
            id,
            live: contents.clone(),
            durable: contents,
            unsynced_pages: BTreeMap::new(),
            unsynced_lens: Vec::new(),
            changes: 0,
        }))
    }

    pub(super) fn len(&self) -> u64 {
        self.live.len
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let n = self.live.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        for (page, range, at) in pages_of(offset, n) {
            let target = &mut buffer[at..at + range.len()];
            match self.live.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[range]),
                None => target.fill(0),
            }
        }
        n
    }

    pub(super) fn pages_used(&self) -> u64 {
        self.live.pages.len() as u64
    }

    /// Pages that a write of `len` bytes would have to allocate.
    pub(super) fn pages_missing(&self, offset: u64, len: usize) -> u64 {
        pages_of(offset, len).filter(|(page, ..)| !self.live.pages.contains_key(page)).count() as u64
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) {
        for (page, range, at) in pages_of(offset, bytes.len()) {
            let mut new = self.live.pages.get(&page).map_or([0; PAGE], |old| **old);
            new[range.clone()].copy_from_slice(&bytes[at..at + range.len()]);
            self.change_page(page, Some(new), range);
        }
        let end = offset + bytes.len() as u64;
        if end > self.live.len {
            self.change_len(end);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.live.len {
            let last = len / PAGE as u64;
            let kept = (len % PAGE as u64) as usize;
            for page in self.live.pages.range(last..).map(|(page, _)| *page).collect::<Vec<_>>() {
                if page == last && kept > 0 {
                    let mut cut = *self.live.pages[&page];
                    cut[kept..].fill(0);
                    self.change_page(page, Some(cut), kept..PAGE);
                } else {
                    self.change_page(page, None, 0..0);
                }
            }
        }
        if len != self.live.len {
            self.change_len(len);
        }
    }

    pub(super) fn sync_data(&mut self) {
        for page in std::mem::take(&mut self.unsynced_pages).into_keys() {
            match self.live.pages.get(&page) {
                Some(bytes) => self.durable.pages.insert(page, bytes.clone()),
                None => self.durable.pages.remove(&page),
            };
        }
        if !self.unsynced_lens.is_empty() {
            self.unsynced_lens.clear();
            self.durable.len = self.live.len;
        }
    }

    /// Rule 4.
    pub(super) fn fail_sync(&mut self, random: &mut SmallRng) {
        self.durable = self.after_power_loss(random);
        self.unsynced_pages.clear();
        self.unsynced_lens.clear();
    }

    /// Clean pages become what the disk has; the length is what it was.
    pub(super) fn forget_cached(&mut self, len: u64) {
        for page in 0..len.div_ceil(PAGE as u64) {
            if self.unsynced_pages.contains_key(&page) {
                continue;
            }
            match self.durable.pages.get(&page) {
                Some(bytes) => self.live.pages.insert(page, bytes.clone()),
                None => self.live.pages.remove(&page),
            };
        }
    }

    fn change_page(&mut self, page: u64, new: Option<[u8; PAGE]>, range: Range<usize>) {
        self.changes += 1;
        let new = new.map(|bytes| if bytes == [0; PAGE] { zeros() } else { Arc::new(bytes) });
        match &new {
            Some(bytes) => self.live.pages.insert(page, bytes.clone()),
            None => self.live.pages.remove(&page),
        };
        let mut touched = 0;
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            touched |= 1 << sector;
        }
        let states = self.unsynced_pages.entry(page).or_default();
        if states.len() == PAGE_STATES_MAX {
            touched |= states.pop().map_or(0, |state| state.touched);
        }
        states.push(PageState { at: self.changes, page: new, touched });
    }

    fn change_len(&mut self, len: u64) {
        self.changes += 1;
        self.live.len = len;
        self.unsynced_lens.push((self.changes, len));
    }

    pub(super) fn after_power_loss(&self, random: &mut SmallRng) -> Contents {
        let fate = Fate::choose(random);
        let (cut_before, len) = match fate.prefix(self.unsynced_lens.len(), random) {
            0 => (0, self.durable.len),
            n => self.unsynced_lens[n - 1],
        };
        let mut contents = Contents { len, pages: self.durable.pages.clone() };
        for (&page, unsynced) in &self.unsynced_pages {
            let durable = PageState { at: 0, page: self.durable.pages.get(&page).cloned(), touched: 0 };
            let mut states: Vec<&PageState> = [&durable].into_iter().chain(unsynced).collect();
            // A cut that survived (with the length) hides what was there before it; one that did not never happened.
            if let Some(cut) = states.iter().rposition(|s| s.page.is_none() && s.at > 0 && s.at <= cut_before) {
                states.drain(..cut);
            }
            states.retain(|s| s.page.is_some() || s.at <= cut_before);
            match surviving_page(&states, fate, random) {
                Some(bytes) => contents.pages.insert(page, bytes),
                None => contents.pages.remove(&page),
            };
        }
        contents.pages.split_off(&len.div_ceil(PAGE as u64));
        if let Some(last) = contents.pages.get_mut(&(len / PAGE as u64)) {
            Arc::make_mut(last)[(len % PAGE as u64) as usize..].fill(0);
        }
        contents
    }
}

/// One page after a power loss, from the states it had in order, the durable one first.
fn surviving_page(states: &[&PageState], fate: Fate, random: &mut SmallRng) -> Option<Page> {
    let (first, last) = (states.first()?, states.last()?);
    let whole = match fate {
        Fate::Lost => Some(first),
        Fate::Kept => Some(last),
        Fate::Mixed => match random.random_range(0..3) {
            0 => Some(first),
            1 => Some(last),
            _ => None,
        },
    };
    let touched = states.iter().fold(0, |touched, state| touched | state.touched);
    match whole {
        Some(state) => return state.page.clone(),
        None if touched == 0 => return last.page.clone(),
        None => {}
    }
    let mut page = last.page.as_ref().map_or([0; PAGE], |bytes| **bytes);
    for sector in (0..PAGE / SECTOR).filter(|sector| touched & (1 << sector) != 0) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        let state = states[random.random_range(0..states.len())];
        match &state.page {
            Some(bytes) => page[range.clone()].copy_from_slice(&bytes[range.clone()]),
            None => page[range.clone()].fill(0),
        }
        let edge = range.start + random.random_range(1..SECTOR);
        match random.random_range(0..12) {
            0 => random.fill_bytes(&mut page[range.start..edge]),
            1 => random.fill_bytes(&mut page[edge..range.end]),
            2 => random.fill_bytes(&mut page[range]),
            _ => {}
        }
    }
    Some(Arc::new(page))
}

fn zeros() -> Page {
    static ZEROS: std::sync::OnceLock<Page> = std::sync::OnceLock::new();
    ZEROS.get_or_init(|| Arc::new([0; PAGE])).clone()
}

/// The pages that `len` bytes at `offset` cover: page number, range within the page, position within the bytes.
fn pages_of(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = (at % PAGE as u64) as usize;
        let n = (PAGE - start).min(len - done);
        let piece = (at / PAGE as u64, start..start + n, done);
        done += n;
        Some(piece)
    })
}
