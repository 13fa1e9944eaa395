//! Every byte of every file, changed: what is read is either what was written, or refused. Never a panic, never a wrong answer.

use std::sync::Arc;

use env::{Env, OpenMode, SimEnv};
use roaring::RoaringBitmap;
use segments::{Cache, Codec, DeletionVector, DumpReader, DumpWriter, Manifest, SegmentError, SegmentSchema, files};
use types::{CommitTs, Datum, Kind, RowLayout, SqlType, TableId};

use crate::manifest::example;
use crate::support::*;

fn table() -> (Arc<SegmentSchema>, Vec<Vec<Datum>>) {
    let schema = schema(
        &[
            ("k", SqlType::Int8, false),
            ("t", SqlType::Text, true),
            ("n", SqlType::Numeric { precision: 15, scale: 2 }, true),
            ("i", SqlType::Interval, true),
            ("b", SqlType::Bool, false),
        ],
        &[0],
    );
    let mut rows = rows(&schema, 210, 1);
    // A column that gets a dictionary.
    rows.iter_mut().enumerate().for_each(|(i, row)| row[1] = Datum::Text(["", "some longer text", "x"][i % 3].into()));
    (schema, rows)
}

/// Calls `check` once for each byte of the file with that byte changed, and puts it right again.
fn for_each_flip(env: &SimEnv, path: &std::path::Path, mut check: impl FnMut(usize)) {
    let bytes = env::read_file(env, path).unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        set_byte(env, path, at, byte ^ 1 << (at % 8));
        check(at);
        set_byte(env, path, at, *byte);
    }
    assert_eq!(env::read_file(env, path).unwrap(), bytes);
}

fn is_corrupt(error: &SegmentError) {
    assert!(matches!(error.kind(), Kind::Corrupt), "not said to be damage: {error}");
    assert!(error.path().is_some() && error.to_string().contains("damaged"), "names no file: {error}");
}

#[test]
fn any_changed_byte_of_a_segment_file_is_noticed_or_does_not_matter() {
    for codec in [Codec::Lz4, Codec::Zstd1] {
        let env = world(1);
        let (schema, rows) = table();
        let info = write(&env, &schema, &rows, small(codec), &Cache::new(0)).unwrap().info();
        let layout = RowLayout::new(&schema.types());
        let path = dir().join(files::segment(ID));
        for_each_flip(&env, &path, |at| {
            let segment = match open(&env, &info, &Cache::new(0)) {
                Ok(segment) => segment,
                Err(error) => return is_corrupt(&error),
            };
            // The four bytes "PAR1" at the start mean nothing to us, but the full check knows them.
            is_corrupt(&segment.verify().expect_err("the full check sees every byte"));
            match read_all(&segment) {
                Ok(found) => {
                    assert_same(&found, &rows);
                    assert!(at < 4, "byte {at} was read over");
                }
                Err(error) => is_corrupt(&error),
            }
            // What can still be read of single rows is right, and keys are found or refused.
            for position in [0, 70, 130, 209] {
                match segment.row(position, &layout, None) {
                    Ok(row) => assert_same(&[layout.read(&row).to_datums()], &[rows[position as usize].clone()]),
                    Err(error) => is_corrupt(&error),
                }
                match segment.find(&key_of(&schema, &rows[position as usize])) {
                    Ok(found) => assert_eq!(found, Some(position)),
                    Err(error) => is_corrupt(&error),
                }
            }
        });
    }
}

#[test]
fn any_changed_byte_of_a_sidecar_is_noticed() {
    let env = world(2);
    let (schema, rows) = table();
    let segment = write(&env, &schema, &rows[..100], small(Codec::Lz4), &Cache::new(0)).unwrap();
    for_each_flip(&env, &dir().join(files::sidecar(ID)), |_| {
        is_corrupt(&open(&env, &segment.info(), &Cache::new(0)).unwrap_err());
        is_corrupt(&segment.verify().unwrap_err());
    });
}

#[test]
fn a_cut_missing_or_exchanged_file_is_refused() {
    let env = world(3);
    let (schema, rows) = table();
    let cache = Cache::new(0);
    let old = write(&env, &schema, &rows[..120], small(Codec::Lz4), &cache).unwrap().info();
    let names = [dir().join(files::segment(ID)), dir().join(files::sidecar(ID))];
    let old_files = names.clone().map(|path| env::read_file(env.as_ref(), &path).unwrap());
    names.iter().for_each(|path| env.unlink(path).unwrap());
    let new = write(&env, &schema, &rows[1..121], small(Codec::Lz4), &cache).unwrap().info();
    // The same lengths, so that only checksums can tell them apart; those must not be of a kind that is equal for all whole files.
    assert_eq!((old.parquet_bytes, old.sidecar_bytes), (new.parquet_bytes, new.sidecar_bytes));
    assert_ne!(old.sidecar_crc, new.sidecar_crc);
    is_corrupt(&open(&env, &old, &cache).unwrap_err());
    for (path, old_file) in names.iter().zip(&old_files) {
        let new_file = env::read_file(env.as_ref(), path).unwrap();
        let replace = |bytes: &[u8]| {
            env.unlink(path).unwrap();
            env.open(path, OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
        };
        replace(old_file);
        is_corrupt(&open(&env, &new, &cache).unwrap_err());
        for len in [0, 1, 4, new_file.len() / 2, new_file.len() - 1] {
            replace(&new_file[..len]);
            is_corrupt(&open(&env, &new, &cache).unwrap_err());
        }
        replace(&[&new_file[..], b"x"].concat());
        is_corrupt(&open(&env, &new, &cache).unwrap_err());
        env.unlink(path).unwrap();
        assert!(matches!(open(&env, &new, &cache), Err(SegmentError::Missing { path: named }) if named == *path));
        env.open(path, OpenMode::CreateNew).unwrap().write_all_at(&new_file, 0).unwrap();
        open(&env, &new, &cache).unwrap();
    }
}

#[test]
fn damage_found_by_a_reader_does_not_outlive_its_cause() {
    let env = world(4);
    let (schema, rows) = table();
    let cache = Cache::new(1 << 20);
    let segment = write(&env, &schema, &rows, small(Codec::Lz4), &cache).unwrap();
    let path = dir().join(files::segment(ID));
    let byte = env::read_file(env.as_ref(), &path).unwrap()[60];
    set_byte(&env, &path, 60, byte ^ 8);
    is_corrupt(&read_all(&segment).unwrap_err());
    set_byte(&env, &path, 60, byte);
    assert_same(&read_all(&segment).unwrap(), &rows);
}

#[test]
fn any_changed_byte_of_a_deletion_vector_is_noticed() {
    let env = world(5);
    let dead: RoaringBitmap = (0..5_000u32).filter(|i| i % 3 == 0 || i % 7 == 0).collect();
    let stored = DeletionVector::store(env.as_ref(), &dir(), ID, CommitTs(40), &dead).unwrap();
    assert!(matches!(stored, DeletionVector::File { .. }), "{stored:?}");
    assert_eq!(stored.load(env.as_ref(), &dir(), ID, 5_000).unwrap(), dead);
    is_corrupt(&stored.load(env.as_ref(), &dir(), ID, 4_998).unwrap_err());
    let path = dir().join(files::deletions(ID, CommitTs(40)));
    for_each_flip(&env, &path, |_| {
        is_corrupt(&stored.load(env.as_ref(), &dir(), ID, 5_000).unwrap_err());
    });
    // Another vector of the same length, whole in itself, under this one's name.
    let shifted: RoaringBitmap = dead.iter().map(|i| i + 1).collect();
    let original = env::read_file(env.as_ref(), &path).unwrap();
    let newer = DeletionVector::store(env.as_ref(), &dir(), ID, CommitTs(40), &shifted).unwrap();
    assert_eq!(env::read_file(env.as_ref(), &path).unwrap().len(), original.len());
    assert_ne!(newer, stored);
    is_corrupt(&stored.load(env.as_ref(), &dir(), ID, 5_000).unwrap_err());
    // The vector of another segment under this one's name, with the right length and checksum for its own.
    let other = DeletionVector::store(env.as_ref(), &dir(), types::SegmentId(8), CommitTs(40), &dead).unwrap();
    env.rename(&dir().join(files::deletions(types::SegmentId(8), CommitTs(40))), &path).unwrap();
    is_corrupt(&other.load(env.as_ref(), &dir(), ID, 5_000).unwrap_err());
}

#[test]
fn any_changed_byte_of_a_manifest_is_noticed_and_names_it() {
    let env = world(6);
    let manifests = std::path::Path::new("/manifest");
    Manifest::install(env.as_ref(), manifests, &Manifest { version: 1, ..Manifest::default() }).unwrap();
    Manifest::install(env.as_ref(), manifests, &example(2)).unwrap();
    let path = manifests.join(files::manifest(2));
    for_each_flip(&env, &path, |_| {
        assert_eq!(Manifest::load_newest(env.as_ref(), manifests).unwrap(), Some(example(2)), "of the copy");
        let [error]: [SegmentError; 1] = Manifest::verify(env.as_ref(), manifests, &example(2)).try_into().unwrap();
        is_corrupt(&error);
        assert_eq!(error.path(), Some(path.as_path()));
    });
    env.unlink(&manifests.join(files::manifest_copy(2))).unwrap();
    for_each_flip(&env, &path, |_| {
        let error = Manifest::load_newest(env.as_ref(), manifests).unwrap_err();
        is_corrupt(&error);
        assert_eq!(error.path(), Some(path.as_path()));
    });
    let bytes = env::read_file(env.as_ref(), &path).unwrap();
    for len in 0..bytes.len() {
        is_corrupt(&Manifest::decode(&path, &bytes[..len]).unwrap_err());
    }
}

#[test]
fn bytes_with_a_right_checksum_and_wrong_contents_are_refused_without_a_panic() {
    // What a bug of the writer, or malice, could leave: every change of one byte, with the checksum made right again.
    let env = world(7);
    let (schema, rows) = table();
    let segment = write(&env, &schema, &rows[..100], small(Codec::Lz4), &Cache::new(0)).unwrap();
    let sidecar = dir().join(files::sidecar(ID));
    let bytes = env::read_file(env.as_ref(), &sidecar).unwrap();
    let body = bytes.len() - 4;
    let mut accepted = Vec::new();
    for at in 0..body {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        let crc = crc32fast::hash(&bent[..body]);
        bent[body..].copy_from_slice(&crc.to_le_bytes());
        env.unlink(&sidecar).unwrap();
        env.open(&sidecar, OpenMode::CreateNew).unwrap().write_all_at(&bent, 0).unwrap();
        let info = segments::SegmentFileInfo { sidecar_crc: crc, ..segment.info() };
        let Ok(bent) = open(&env, &info, &Cache::new(0)) else { continue };
        // No panic, whatever it says; and if the full check finds nothing, the rows are those written.
        let found = (read_all(&bent), bent.find(&key_of(&schema, &rows[50])), bent.statistics(1));
        bent.groups().for_each(|group| drop(group.zone(0).max(SqlType::Int8)));
        if bent.verify().is_ok() {
            assert_same(&found.0.unwrap(), &rows[..100]);
            assert_eq!(found.1.unwrap(), Some(50));
            accepted.push(at);
        }
    }
    assert_eq!(accepted, Vec::<usize>::new(), "changes at these bytes pass the full check");
    let manifest = example(3).encode();
    let body = manifest.len() - 4;
    for at in 0..body {
        let mut bent = manifest.clone();
        bent[at] ^= 0xFF;
        let crc = crc32fast::hash(&bent[..body]);
        bent[body..].copy_from_slice(&crc.to_le_bytes());
        if let Ok(read) = Manifest::decode(&sidecar, &bent) {
            assert_ne!(read, example(3), "byte {at} means nothing");
        }
    }
}

#[test]
fn any_changed_byte_of_a_dump_is_noticed() {
    let env = world(8);
    let world: Arc<dyn Env> = Arc::clone(&env) as Arc<dyn Env>;
    let mut writer = DumpWriter::create(world, &dir(), 9, TableId(1), CommitTs(4)).unwrap();
    let rows: Vec<(Vec<u8>, Vec<u8>)> = (0..40u8).map(|i| (vec![i; 3], vec![i; usize::from(i)])).collect();
    rows.iter().for_each(|(key, image)| writer.append(key, image).unwrap());
    let info = writer.finish().unwrap();
    let path = dir().join(files::dump(9));
    let read = || {
        let mut reader = DumpReader::open(env.as_ref(), &dir(), &info, TableId(1), CommitTs(4))?;
        let mut found = Vec::new();
        while let Some((key, image)) = reader.next_row()? {
            found.push((key.to_vec(), image.to_vec()));
        }
        Ok::<_, SegmentError>(found)
    };
    assert_eq!(read().unwrap(), rows);
    for_each_flip(&env, &path, |_| is_corrupt(&read().unwrap_err()));
    let bytes = env::read_file(env.as_ref(), &path).unwrap();
    for len in 0..bytes.len() {
        env.open(&path, OpenMode::Write).unwrap().set_len(len as u64).unwrap();
        is_corrupt(&read().unwrap_err());
        env.open(&path, OpenMode::Write).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    is_corrupt(&DumpReader::open(env.as_ref(), &dir(), &info, TableId(2), CommitTs(4)).err().unwrap());
    is_corrupt(&DumpReader::open(env.as_ref(), &dir(), &info, TableId(1), CommitTs(5)).err().unwrap());
}
