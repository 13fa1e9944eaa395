//! Damage of every kind in every file of a small database, some of each: what opens gives right answers, what does not says which file
//! is damaged, and repair saves what is left. All of it: the row R6 of scripts/reliability.

use testkit::rot::{Outcome, blocks, flips, judge_all, repair_all, whole_files};
use testkit::{SmallDatabase, Verdict};

fn fail_if_wrong(outcome: &Outcome) {
    let wrong = &outcome.wrong;
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), outcome.tries(), wrong[..wrong.len().min(12)].join("\n"));
}

#[test]
fn a_flipped_bit_of_any_byte_is_found_or_harmless() {
    let database = SmallDatabase::new();
    let outcome = judge_all(&database, flips(&database, 199, 0));
    fail_if_wrong(&outcome);
    for kind in ["parquet", "idx", "dv", "rows", "mf", "FORMAT"] {
        let verdicts = &outcome.verdicts[kind];
        assert!(!verdicts.contains_key(&Verdict::Harmless), "every byte of {kind} files has a checksum: {verdicts:?}");
    }
    assert_eq!(outcome.verdicts["packed"].keys().collect::<Vec<_>>(), [&Verdict::Harmless], "nothing depends on these");
    assert!(outcome.verdicts["wal"].contains_key(&Verdict::Refused) && outcome.verdicts.contains_key("END"));
}

#[test]
fn zeroed_swapped_stale_and_missing_parts_are_found_or_harmless() {
    let database = SmallDatabase::new();
    fail_if_wrong(&judge_all(
        &database,
        blocks(&database).into_iter().step_by(9).chain(whole_files(&database).into_iter().step_by(4)),
    ));
}

#[test]
fn repair_saves_what_is_left_and_says_what_is_not() {
    let database = SmallDatabase::new();
    let outcome = repair_all(&database, flips(&database, 997, 0).chain(whole_files(&database).into_iter().skip(1).step_by(13)));
    fail_if_wrong(&outcome);
    assert_eq!(outcome.verdicts["idx"].get(&Verdict::Refuses), None, "a sidecar is made again from its column file");
}
