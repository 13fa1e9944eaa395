//! A row group as a scan sees it: how many rows, and which of them its zone maps leave in question.

use std::ops::Range;

use crate::schema::SegmentSchema;
use crate::sidecar::GroupEntry;
use crate::zone::{Probe, Zone};

/// A row group as a scan sees it.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    pub(crate) schema: &'a SegmentSchema,
    pub(crate) entry: &'a GroupEntry,
    pub(crate) start: u32,
}

impl<'a> Group<'a> {
    /// Rows, dead ones too.
    pub fn rows(&self) -> u32 {
        self.entry.rows
    }

    /// Position of its first row.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The zone map of a column over the group.
    pub fn zone(&self, column: usize) -> &'a Zone {
        &self.entry.columns[column].zone
    }

    /// The zone maps of a column's runs of rows, in order; every column's runs are the same rows.
    pub fn zones(&self, column: usize) -> &'a [Zone] {
        &self.entry.columns[column].zones
    }

    /// False: no row of the group satisfies all conditions.
    pub fn may_match(&self, probes: &[Probe]) -> bool {
        let t = |column: usize| self.schema.columns()[column].sql_type;
        probes.iter().all(|probe| self.zone(probe.column).may_match(probe, t(probe.column)))
    }

    /// The rows of the group, counted from its first, in runs that may satisfy all conditions, merged where they touch.
    pub fn matching_rows(&self, probes: &[Probe]) -> Vec<Range<u32>> {
        let runs = self.entry.columns.first().map_or(0, |column| column.zones.len());
        let mut out: Vec<Range<u32>> = Vec::new();
        let mut start = 0;
        for run in 0..runs {
            let end = start + self.zones(0)[run].rows();
            let may_match = probes
                .iter()
                .all(|probe| self.zones(probe.column)[run].may_match(probe, self.schema.columns()[probe.column].sql_type));
            match out.last_mut() {
                Some(last) if may_match && last.end == start => last.end = end,
                _ if may_match => out.push(start..end),
                _ => {}
            }
            start = end;
        }
        out
    }
}
