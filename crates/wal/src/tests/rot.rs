use env::read_file;

use super::*;

/// A closed log of several files and groups, all of it durable, and what it holds.
fn closed_log() -> (Arc<SimEnv>, Vec<Replayed>) {
    let env = SimEnv::new(5);
    let (wal, _) = open(&env);
    let mut records = Vec::new();
    for n in 0..12u8 {
        let record = vec![n; [3, 700, 5000, 1200][usize::from(n) % 4]];
        let end = wal.append(&[&record]).unwrap();
        env.run_jobs(1000); // until all is durable, marked, and the next file is ready
        records.push((end, record));
    }
    wal.close().unwrap();
    (env, records)
}

/// Opens a copy of the log in which `spoil` has changed the file; the finding if it is refused.
fn reopen_spoiled(env: &SimEnv, path: &Path, spoil: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<Replayed>, WalError> {
    let copy = env.crash_clone(0);
    let mut bytes = read_file(&*copy, path).unwrap();
    spoil(&mut bytes);
    let file = handle(&copy, path);
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let before = copy.mutations();
    let outcome = open_from(&copy, Lsn(0)).map(|(_, replayed)| replayed);
    assert!(outcome.is_ok() || copy.mutations() == before, "a refused log is left as it is");
    outcome
}

fn refused_or_whole(outcome: Result<Vec<Replayed>, WalError>, records: &[Replayed], path: &Path, context: &str) -> bool {
    match outcome {
        Ok(replayed) => {
            assert!(replayed == records, "{context}: {} records of {}", replayed.len(), records.len());
            false
        }
        Err(WalError::Damaged { .. } | WalError::Version { .. } | WalError::Missing { .. }) => true,
        Err(other) => panic!("{context} of {}: {other}", path.display()),
    }
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_found_or_harmless() {
    let (env, records) = closed_log();
    let (mut found, mut harmless) = (0, 0);
    for (path, len) in files(&env) {
        let original = read_file(&*env, &path).unwrap();
        for at in 0..len as usize {
            // Where all is zero for a whole sector, one byte of it stands for the others.
            let sector = at / 512 * 512;
            if at != sector && original[sector..sector + 512].iter().all(|byte| *byte == 0) {
                continue;
            }
            let context = format!("byte {at}");
            let outcome = reopen_spoiled(&env, &path, |bytes| bytes[at] ^= 1 << (at % 8));
            if let Err(WalError::Damaged { path: named, offset, .. }) = &outcome {
                assert!(*named == path && *offset <= at as u64, "{context}: {} at {offset}", named.display());
            }
            match refused_or_whole(outcome, &records, &path, &context) {
                true => found += 1,
                false => harmless += 1,
            }
        }
    }
    assert!(found > 20_000, "{found} found, {harmless} harmless");
}

#[test]
fn lost_sectors_and_swapped_sectors_of_a_closed_log_are_found_or_harmless() {
    let (env, records) = closed_log();
    let mut found = 0;
    for (path, len) in files(&env) {
        for sector in 0..len as usize / 512 {
            let range = sector * 512..(sector + 1) * 512;
            let zeroed = reopen_spoiled(&env, &path, |bytes| bytes[range.clone()].fill(0));
            // The mark at the end may be lost: it is evidence, not data.
            found += u32::from(refused_or_whole(zeroed, &records, &path, "zeroed sector"));
            let other = (sector * 7 + 3) % (len as usize / 512 / 2) * 512;
            let swapped = reopen_spoiled(&env, &path, |bytes| {
                let copy: Vec<u8> = bytes[range.clone()].to_vec();
                bytes.copy_within(other..other + 512, range.start);
                bytes[other..other + 512].copy_from_slice(&copy);
            });
            found += u32::from(refused_or_whole(swapped, &records, &path, "swapped sectors"));
        }
    }
    assert!(found > 60, "{found}");
}

#[test]
fn a_cut_or_missing_or_doubled_file_of_a_closed_log_is_found_or_harmless() {
    let (env, records) = closed_log();
    let paths = files(&env);
    let mut found = 0;
    for (path, len) in &paths {
        for cut in (0..*len as usize).step_by(512) {
            let outcome = reopen_spoiled(&env, path, |bytes| bytes.truncate(cut));
            if cut > 512 && matches!(&outcome, Ok(replayed) if *replayed != records) {
                // The last file lost its end: what is left of it is a shorter log. Only a checkpoint could know better.
                let copy = env.crash_clone(0);
                handle(&copy, path).set_len(cut as u64).unwrap();
                let needed = records.last().unwrap().0;
                assert!(matches!(open_from(&copy, needed), Err(WalError::Damaged { .. })), "cut at {cut}");
                continue;
            }
        }
        let copy = env.crash_clone(0);
        copy.unlink(path).unwrap();
        found += u32::from(!matches!(open_from(&copy, Lsn(0)), Ok((_, replayed)) if replayed == records));
        let copy = env.crash_clone(0);
        copy.link(path, &Path::new(DIR).join("00000099.wal")).unwrap();
        let doubled = open_from(&copy, Lsn(0)).map(|(_, replayed)| replayed);
        refused_or_whole(doubled, &records, path, "doubled file");
    }
    assert!(found >= 2, "{found}");
}

/// The last group may be damaged after it was acknowledged and before anything knew of it; what is before it is never lost.
#[test]
fn a_flipped_byte_of_a_log_that_was_not_closed_costs_at_most_the_last_group() {
    let env = SimEnv::new(5);
    let (wal, _) = open(&env);
    let mut records = Vec::new();
    for n in 0..9u8 {
        env.run_jobs(1000);
        let record = vec![n; [3, 700, 5000][usize::from(n) % 3]];
        let end = wal.append(&[&record]).unwrap();
        wal.wait_durable(end).unwrap();
        records.push((end, record));
    }
    let mut shorter = 0;
    for (path, len) in files(&env) {
        for at in (0..len as usize).step_by(7) {
            match reopen_spoiled(&env, &path, |bytes| bytes[at] ^= 0x10) {
                Ok(replayed) if replayed == records => {}
                Ok(replayed) => {
                    assert!(replayed == records[..8], "byte {at}: {} records", replayed.len());
                    shorter += 1;
                }
                Err(error) => assert!(matches!(error, WalError::Damaged { .. } | WalError::Version { .. }), "{error}"),
            }
        }
    }
    assert!(shorter > 500, "{shorter}");
}

#[test]
fn an_opened_log_knows_its_end_before_it_rests() {
    let env = SimEnv::new(5);
    let (wal, _) = open(&env);
    let end = wal.append(&[&[1; 700]]).unwrap();
    wal.wait_durable(end).unwrap();
    drop(wal); // without a mark
    let path = files(&env)[0].0.clone();
    let flip = |bytes: &mut Vec<u8>| bytes[600] ^= 1;
    assert_eq!(reopen_spoiled(&env, &path, flip).unwrap(), [], "nothing knows of the group");
    let (wal, replayed) = open(&env);
    assert_eq!(replayed.len(), 1);
    drop(wal);
    handle(&env, &path).sync_data().unwrap();
    assert!(matches!(reopen_spoiled(&env, &path, flip), Err(WalError::Damaged { .. })));
}

/// Frames that are valid in themselves but are not the next ones of this file.
#[test]
fn frames_of_another_life_or_place_are_neither_read_nor_evidence() {
    let env = SimEnv::new(5);
    let (wal, _) = open(&env);
    let end = wal.append(&[&[1; 700]]).unwrap();
    wal.wait_durable(end).unwrap();
    wal.close().unwrap();
    let path = files(&env)[0].0.clone();
    let mut header = [0; 512];
    handle(&env, &path).read_exact_at(&mut header, 0).unwrap();
    let crate::frame::FileHeader::Valid { salt, .. } = crate::frame::decode_file_header(&header) else { panic!() };
    let genuine = crate::frame::Frame { len: 6, salt, lsn: end.0, durable: end.0, restart: false };
    let with = |frame: crate::frame::Frame| {
        let mut bytes = Vec::new();
        frame.encode(b"\x02\0\0\0hi", &mut bytes);
        reopen_spoiled(&env, &path, |file| file[512 + 1024..][..512].copy_from_slice(&bytes)).map(|replayed| replayed.len())
    };
    assert_eq!(with(genuine).unwrap(), 2, "the test can make a frame that counts");
    let other = crate::frame::Frame { salt: salt ^ 1, ..genuine };
    assert_eq!(with(other).unwrap(), 1, "an earlier life of the file");
    assert_eq!(with(crate::frame::Frame { durable: end.0 + 1, lsn: end.0 + 1, ..other }).unwrap(), 1, "and no evidence");
    assert_eq!(with(crate::frame::Frame { lsn: end.0 - 1, durable: end.0 - 1, ..genuine }).unwrap(), 1, "a frame moved forward");
    assert_eq!(with(crate::frame::Frame { lsn: end.0 + 1, ..genuine }).unwrap(), 1, "a frame whose predecessor is lost");
    let later = with(crate::frame::Frame { lsn: end.0 + 1, durable: end.0 + 1, ..genuine });
    assert!(matches!(later, Err(WalError::Damaged { .. })), "the same, of a later group");
}

#[test]
fn an_older_copy_of_a_file_beside_it_is_refused() {
    let env = SimEnv::new(5);
    let (wal, _) = open(&env);
    wal.append(&[b"one"]).unwrap();
    env.run_jobs(1000);
    let copy = read_file(&*env, &files(&env)[0].0).unwrap();
    wal.append(&[b"two"]).unwrap();
    wal.close().unwrap();
    for name in ["00000000.wal", "00000099.wal"] {
        let doubled = env.crash_clone(0);
        let file = doubled.open(&Path::new(DIR).join(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(&copy, 0).unwrap();
        let error = open_from(&doubled, Lsn(0)).err().unwrap();
        assert!(matches!(error, WalError::Damaged { .. }), "{error}");
    }
}

#[test]
fn damage_below_the_checkpoint_is_refused_too() {
    let (env, records) = closed_log();
    let copy = env.crash_clone(0);
    let (path, _) = &files(&copy)[0];
    handle(&copy, path).write_all_at(b"x", 1030).unwrap();
    let error = open_from(&copy, records[2].0).err().unwrap();
    assert!(matches!(&error, WalError::Damaged { path: named, .. } if named == path), "{error}");
    assert!(error.to_string().starts_with("log file /log/00000001.wal is damaged at byte 1024: "), "{error}");
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let env = SimEnv::new(1);
    let error = open_from(&env, Lsn(9)).err().unwrap();
    assert_eq!(error.to_string(), "the log in /log has records from 0 to 0, but is needed from 9");
    let (closed, records) = closed_log();
    let end = records.last().unwrap().0;
    assert!(open_from(&closed, end).is_ok());
    let beyond = open_from(&closed, Lsn(end.0 + 1)).err().unwrap();
    assert!(matches!(beyond, WalError::Damaged { .. }), "{beyond}");
}

/// Garbage of any kind behind the end, as a torn group leaves it, does not stop a recovery and does not come back.
#[test]
fn garbage_behind_the_end_is_cut() {
    for seed in 0..500 {
        let mut random = SmallRng::seed_from_u64(seed);
        let env = SimEnv::new(seed);
        let (wal, _) = open(&env);
        let end = wal.append(&[&[1; 1000]]).unwrap();
        wal.wait_durable(end).unwrap();
        drop(wal);
        let (path, len) = files(&env)[0].clone();
        let start = random.random_range(2048..len - 1) / 7 * 7;
        let garbage = bytes(&mut random, (len - start) as usize);
        handle(&env, &path).write_all_at(&garbage, start).unwrap();
        // A frame of the torn group that survived says only what was durable before the group.
        let mut frame = Vec::new();
        let mut header = [0; 512];
        handle(&env, &path).read_exact_at(&mut header, 0).unwrap();
        let crate::frame::FileHeader::Valid { salt, .. } = crate::frame::decode_file_header(&header) else { panic!() };
        let survivor = crate::frame::Frame { len: 9, salt, lsn: end.0 + 100, durable: end.0, restart: false };
        survivor.encode(&[1; 9], &mut frame);
        handle(&env, &path).write_all_at(&frame, 4096).unwrap();
        let (wal, replayed) = open(&env);
        assert_eq!((replayed, wal.end()), (vec![(end, vec![1; 1000])], end), "seed {seed}");
        let bytes = read_file(&*env, &path).unwrap();
        assert!(bytes[2560..].iter().all(|byte| *byte == 0), "seed {seed}");
    }
}

/// A group of several frames, torn at every byte: whatever was before it is there, what is there of it is a prefix, the log goes on, and
/// the next recovery sees the same.
#[test]
fn a_tail_torn_at_every_byte_is_cut_once_and_for_all() {
    let env = SimEnv::new(1);
    let (wal, _) = open(&env);
    let before = wal.append(&[&[1; 700]]).unwrap();
    wal.wait_durable(before).unwrap();
    for len in [3000, 5, 4000, 500] {
        wal.append(&[&vec![len as u8; len]]).unwrap();
    }
    wal.wait_durable(wal.end()).unwrap();
    drop(wal); // without a mark
    let (_, records) = open(&env.crash_clone(0));
    let path = files(&env)[0].0.clone();
    let group = 512 + 1024..512 + 1024 + 4 * 2560;
    for at in group.clone().step_by(5) {
        for fill in [0, 0xa5] {
            let copy = env.crash_clone(0);
            let torn = vec![fill; group.end - at];
            handle(&copy, &path).write_all_at(&torn, at as u64).unwrap();
            let (wal, replayed) = open(&copy);
            assert!(!replayed.is_empty() && replayed[..] == records[..replayed.len()], "byte {at}");
            assert!(replayed.len() == records.len() || wal.end() < records[4].0, "byte {at}");
            let end = wal.append(&[b"goes on"]).unwrap();
            wal.wait_durable(end).unwrap();
            drop(wal);
            let expected = [replayed, vec![(end, b"goes on".to_vec())]].concat();
            assert_eq!(open(&copy.power_loss()).1, expected, "byte {at}");
        }
    }
}

#[test]
fn random_bytes_for_files_never_panic() {
    for seed in 0..300 {
        let (env, _) = closed_log();
        let mut random = SmallRng::seed_from_u64(seed);
        for (path, len) in files(&env) {
            let file = handle(&env, &path);
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..len);
                let garbage = bytes(&mut random, 600);
                file.write_all_at(&garbage, at).unwrap();
            }
        }
        drop(open_from(&env, Lsn(random.random_range(0..20_000))));
    }
}
