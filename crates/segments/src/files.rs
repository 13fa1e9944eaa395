//! Names of the files in a table's and in the manifest's directory.
//!
//! ```text
//! data/<table>/<segment>.parquet   <segment>.idx   <segment>.<F>.dv   <segment>.packed   <manifest version>.rows
//! manifest/<20 digits>.mf, .copy
//! ```
//!
//! 1. A name says what a file is and to whom it belongs; whether it is needed only a manifest says. A file that has one of these
//!    names (or ends in `.tmp`) and that no manifest lists is garbage, whatever is in it.

use types::{CommitTs, SegmentId};

/// What a name in a directory of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileName {
    /// The Parquet file of a segment.
    Segment(SegmentId),
    /// Its sidecar.
    Sidecar(SegmentId),
    /// Its deletion vector as of a checkpoint.
    Deletions(SegmentId, CommitTs),
    /// Its packed columns, which are never needed.
    Packed(SegmentId),
    /// The dump of a table's delta rows that belongs to the manifest of this version.
    Dump(u64),
    /// A manifest by its version.
    Manifest(u64),
    /// The second copy of a manifest.
    ManifestCopy(u64),
    /// Left behind by a write that did not finish.
    Temporary,
}

/// The Parquet file of a segment.
pub fn segment(id: SegmentId) -> String {
    format!("{id}.parquet")
}

/// The sidecar of a segment.
pub fn sidecar(id: SegmentId) -> String {
    format!("{id}.idx")
}

/// A segment's deletion vector as of `ts`.
pub fn deletions(id: SegmentId, ts: CommitTs) -> String {
    format!("{id}.{ts}.dv")
}

/// A segment's packed columns.
pub fn packed(id: SegmentId) -> String {
    format!("{id}.packed")
}

/// The dump of delta rows for manifest `version`. Not named by its timestamp: two manifests of one timestamp may need two dumps.
pub fn dump(version: u64) -> String {
    format!("{version}.rows")
}

/// A manifest.
pub fn manifest(version: u64) -> String {
    format!("{version:020}.mf")
}

/// The second copy of a manifest.
pub fn manifest_copy(version: u64) -> String {
    format!("{version:020}.copy")
}

/// What `name` stands for; None for a name that is not one of ours and is to be left alone.
pub fn parse(name: &str) -> Option<FileName> {
    let (stem, extension) = name.rsplit_once('.')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let parsed = match extension {
        "parquet" => FileName::Segment(SegmentId(number(stem)?)),
        "idx" => FileName::Sidecar(SegmentId(number(stem)?)),
        "dv" => {
            let (id, ts) = stem.split_once('.')?;
            FileName::Deletions(SegmentId(number(id)?), CommitTs(number(ts)?))
        }
        "packed" => FileName::Packed(SegmentId(number(stem)?)),
        "rows" => FileName::Dump(number(stem)?),
        "mf" => FileName::Manifest(number(stem)?),
        "copy" => FileName::ManifestCopy(number(stem)?),
        "tmp" => return Some(FileName::Temporary),
        _ => return None,
    };
    (parsed.to_string() == name).then_some(parsed)
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&match *self {
            FileName::Segment(id) => segment(id),
            FileName::Sidecar(id) => sidecar(id),
            FileName::Deletions(id, ts) => deletions(id, ts),
            FileName::Packed(id) => packed(id),
            FileName::Dump(version) => dump(version),
            FileName::Manifest(version) => manifest(version),
            FileName::ManifestCopy(version) => manifest_copy(version),
            FileName::Temporary => "*.tmp".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_strangers_left_alone() {
        let id = SegmentId(7);
        let names = [
            FileName::Segment(id),
            FileName::Sidecar(id),
            FileName::Deletions(id, CommitTs(9)),
            FileName::Packed(id),
            FileName::Dump(3),
            FileName::Manifest(12),
            FileName::ManifestCopy(12),
        ];
        for name in names {
            assert_eq!(parse(&name.to_string()), Some(name));
        }
        assert_eq!(parse("7.tmp"), Some(FileName::Temporary));
        for stranger in ["notes.txt", "7", "7.packed.x", "+7.parquet", "07.parquet", "7.x.dv", "12.mf", ".parquet", "lock"] {
            assert_eq!(parse(stranger), None, "{stranger}");
        }
    }
}
