//! Installing and finding manifests.

use std::path::Path;

use env::{Env, OpenMode};
use segments::{DeletionVector, DumpInfo, Manifest, ManifestSegment, ManifestTable, SegmentError, SegmentFileInfo, files};
use types::{CommitTs, Lsn, Oid, SegmentId, TableId};

use crate::support::world;

/// A manifest in which every field differs from zero and from the others.
pub(crate) fn example(version: u64) -> Manifest {
    let info = SegmentFileInfo { rows: 11, parquet_bytes: 12, sidecar_bytes: 13, sidecar_crc: 14 };
    let dead = [
        DeletionVector::Empty,
        DeletionVector::Inline(vec![1, 2, 3]),
        DeletionVector::File { ts: CommitTs(15), bytes: 16, crc: 17 },
    ];
    let segment = |(i, dead)| ManifestSegment { id: SegmentId(18 + i as u64), info, from: CommitTs(19), dead };
    Manifest {
        version,
        ts: CommitTs(21),
        lsn: Lsn(22),
        next_segment: SegmentId(23),
        next_oid: Oid(24),
        catalog: b"catalog".to_vec(),
        tables: vec![
            ManifestTable {
                table: TableId(25),
                next_rowid: 26,
                segments: dead.into_iter().enumerate().map(segment).collect(),
                dump: None,
            },
            ManifestTable {
                table: TableId(27),
                next_rowid: 28,
                segments: Vec::new(),
                dump: Some(DumpInfo { version: 29, bytes: 30, rows: 31, salt: 32 }),
            },
        ],
        extra: b"extra".to_vec(),
    }
}

fn dir() -> &'static Path {
    Path::new("/db/manifest")
}

#[test]
fn a_manifest_comes_back_and_the_newest_wins() {
    let env = world(1);
    assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), None);
    for version in [9, 10, 11] {
        Manifest::install(env.as_ref(), dir(), &example(version)).unwrap();
        assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), Some(example(version)));
    }
    let versions: Vec<u64> = Manifest::list(env.as_ref(), dir()).unwrap().into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, [9, 10, 11]);
    assert_eq!(Manifest::remove_older_than(env.as_ref(), dir(), 11).unwrap(), 2);
    assert_eq!(env.list(dir()).unwrap(), [files::manifest_copy(11), files::manifest(11)]);
    assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), Some(example(11)));
}

#[test]
fn a_version_is_installed_once() {
    let env = world(2);
    Manifest::install(env.as_ref(), dir(), &example(1)).unwrap();
    let second = Manifest { extra: b"another writer".to_vec(), ..example(1) };
    assert!(matches!(Manifest::install(env.as_ref(), dir(), &second), Err(SegmentError::Io { .. })));
    assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), Some(example(1)));
    assert_eq!(env.list(dir()).unwrap(), [files::manifest_copy(1), files::manifest(1)]);
    assert!(Manifest::verify(env.as_ref(), dir(), &example(1)).is_empty());
}

#[test]
fn leftovers_and_strangers_are_not_manifests() {
    let env = world(3);
    Manifest::install(env.as_ref(), dir(), &example(1)).unwrap();
    for name in ["00000000000000000002.tmp", "00000000000000000003.mf.bak", "3.mf", "notes"] {
        env.open(&dir().join(name), OpenMode::CreateNew).unwrap().write_all_at(b"half", 0).unwrap();
    }
    assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), Some(example(1)));
    Manifest::install(env.as_ref(), dir(), &example(2)).unwrap();
    assert_eq!(Manifest::load_newest(env.as_ref(), dir()).unwrap(), Some(example(2)));
    Manifest::remove_older_than(env.as_ref(), dir(), 2).unwrap();
    let copy = "00000000000000000002.copy";
    assert_eq!(env.list(dir()).unwrap(), [copy, "00000000000000000002.mf", "00000000000000000003.mf.bak", "3.mf", "notes"]);
}

#[test]
fn an_older_manifest_is_not_taken_for_a_damaged_newer_one() {
    let env = world(4);
    Manifest::install(env.as_ref(), dir(), &example(1)).unwrap();
    // An empty file, a copy of another version, a later format.
    let mut later = example(2).encode();
    later[8] = 2;
    let body = later.len() - 4;
    let crc = crc32fast::hash(&later[..body]);
    later[body..].copy_from_slice(&crc.to_le_bytes());
    for (bytes, says) in [(Vec::new(), "damaged"), (example(1).encode(), "damaged"), (later, "format version 2")] {
        let path = dir().join(files::manifest(2));
        env.open(&path, OpenMode::CreateNew).unwrap().write_all_at(&bytes, 0).unwrap();
        let error = Manifest::load_newest(env.as_ref(), dir()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("00000000000000000002.mf"), "{error}");
        env.unlink(&path).unwrap();
    }
}

#[test]
fn a_manifest_knows_its_files() {
    let names: Vec<String> = example(1).tables.iter().flat_map(ManifestTable::files).map(|name| name.to_string()).collect();
    assert_eq!(names, ["18.parquet", "18.idx", "19.parquet", "19.idx", "20.parquet", "20.idx", "20.15.dv", "29.rows"]);
}
