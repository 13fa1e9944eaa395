//! Dumps of delta rows.

use std::sync::Arc;

use env::{Env, SimEnv};
use segments::{DumpInfo, DumpReader, DumpWriter};
use types::{CommitTs, TableId};

use crate::support::*;

fn dump(env: &Arc<SimEnv>, version: u64, rows: &[(Vec<u8>, Vec<u8>)]) -> DumpInfo {
    let world: Arc<dyn Env> = Arc::clone(env) as Arc<dyn Env>;
    let mut writer = DumpWriter::create(world, &dir(), version, TableId(3), CommitTs(5)).unwrap();
    rows.iter().for_each(|(key, image)| writer.append(key, image).unwrap());
    writer.finish().unwrap()
}

fn load(env: &SimEnv, info: &DumpInfo) -> segments::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut reader = DumpReader::open(env, &dir(), info, TableId(3), CommitTs(5))?;
    let mut found = Vec::new();
    while let Some((key, image)) = reader.next_row()? {
        found.push((key.to_vec(), image.to_vec()));
    }
    assert!(reader.next_row()?.is_none());
    Ok(found)
}

#[test]
fn rows_of_all_sizes_come_back_in_order() {
    let env = world(1);
    let mut numbers = Numbers(1);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = (0..3_000u32)
        .map(|i| {
            let len = if i % 500 == 7 { 700_000 } else { numbers.below(900) as usize };
            (i.to_be_bytes()[..(i % 5) as usize].to_vec(), vec![i as u8; len])
        })
        .collect();
    for (version, rows) in [(1, &rows[..]), (2, &rows[..1]), (3, &[])] {
        let info = dump(&env, version, rows);
        assert_eq!(info.rows, rows.len() as u64);
        assert_eq!(load(&env, &info).unwrap(), rows);
    }
}

#[test]
fn a_leftover_of_the_same_version_is_replaced_and_never_taken_for_it() {
    let env = world(2);
    let first = dump(&env, 4, &[(b"a".to_vec(), b"1".to_vec())]);
    let second = dump(&env, 4, &[(b"a".to_vec(), b"2".to_vec())]);
    assert_eq!(load(&env, &second).unwrap(), [(b"a".to_vec(), b"2".to_vec())]);
    assert_eq!(first.bytes, second.bytes);
    load(&env, &first).unwrap_err();
}
