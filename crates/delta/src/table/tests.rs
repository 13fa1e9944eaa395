use arrow::array::RecordBatch;
use types::{Datum, SqlType};

use super::*;

fn key(n: u64) -> Key {
    Key::from(n.to_be_bytes().as_slice())
}

fn row(table: &DeltaTable, text: &str) -> Row {
    table.layout().encode(&[Datum::Text(text.into())])
}

fn table() -> DeltaTable {
    DeltaTable::new(Arc::new(RowLayout::new(&[SqlType::Text])))
}

fn at(ts: u64) -> Snapshot {
    Snapshot { ts: CommitTs(ts), own: None }
}

fn insert(table: &DeltaTable, n: u64, me: u64, text: &str) -> SlotRef {
    let row = row(table, text);
    match table.put(&key(n), TxnId(me), Expect::NoSlot(Base::Absent), Write::Row(&row)) {
        PutOutcome::Done(slot) => slot,
        other => panic!("{other:?}"),
    }
}

fn delete(table: &DeltaTable, n: u64, me: u64, version: u64, ts: u64) {
    let expect = Expect::Version(Version::committed(CommitTs(version)));
    let PutOutcome::Done(slot) = table.put(&key(n), TxnId(me), expect, Write::Deleted) else { panic!("it is there") };
    table.stamp(slot, TxnId(me), CommitTs(ts));
}

fn rows_at(table: &DeltaTable, ts: u64) -> usize {
    table.scan(at(ts), vec![0], false, 100).map(|batch: RecordBatch| batch.num_rows()).sum()
}

/// What a thread sees that found an index entry just before its slot was freed and taken by another key.
fn stale_reference_finds_nothing(table: &DeltaTable, old: SlotRef, version: Version) {
    table.index.insert_if_absent(&key(1), old).unwrap();
    assert_eq!(table.get(&key(1), &at(99)), Found::NoSlot);
    assert_eq!(table.index.get(&key(1)), None, "who finds a stale entry removes it");
    table.index.insert_if_absent(&key(1), old).unwrap();
    let expect = Expect::Version(version);
    let other = row(table, "x");
    assert_eq!(table.put(&key(1), TxnId(9), expect, Write::Row(&other)), PutOutcome::Changed);
    assert_eq!(table.overwrite(old, TxnId(9), version, Write::Deleted), PutOutcome::Changed);
    assert_eq!(table.newest(&key(1), TxnId(9)), Newest::NoSlot);
    assert_eq!(table.get(&key(2), &at(99)), Found::Row(row(table, "second")));
}

#[test]
fn a_reference_to_a_freed_slot_does_not_find_the_next_row_there() {
    let table = table();
    insert(&table, 3, 1, "keeps the slab");
    let old = insert(&table, 1, 1, "first");
    table.stamp(old, TxnId(1), CommitTs(1));
    delete(&table, 1, 2, 1, 2);
    assert_eq!(table.reclaim(CommitTs(2)), 2, "the slot and its before-image");
    let new = insert(&table, 2, 3, "second");
    table.stamp(new, TxnId(3), CommitTs(3));
    assert_eq!((old.slab, old.slot), (new.slab, new.slot), "the slot is used again");
    for version in 1..=3 {
        stale_reference_finds_nothing(&table, old, Version::committed(CommitTs(version)));
    }
}

#[test]
fn a_reference_into_a_retired_slab_does_not_find_the_next_slab_there() {
    let table = table();
    let old = insert(&table, 1, 1, "first");
    table.stamp(old, TxnId(1), CommitTs(1));
    delete(&table, 1, 2, 1, 2);
    assert_eq!(table.reclaim(CommitTs(2)), 2, "the slot and its before-image");
    assert_eq!(table.counts(), Counts::default());
    assert!(table.slabs.get(old.slab).is_none());
    assert_eq!(table.overwrite(old, TxnId(9), Version::committed(CommitTs(2)), Write::Deleted), PutOutcome::Changed);
    let new = insert(&table, 2, 3, "second");
    table.stamp(new, TxnId(3), CommitTs(3));
    assert_eq!((old.slab, old.slot), (new.slab, new.slot), "the position is used again");
    for version in 1..=3 {
        stale_reference_finds_nothing(&table, old, Version::committed(CommitTs(version)));
    }
}

#[test]
fn commits_stamped_out_of_order_are_seen_in_order() {
    let table = table();
    let (first, second) = (insert(&table, 1, 1, "a"), insert(&table, 2, 2, "b"));
    table.stamp(second, TxnId(2), CommitTs(2));
    assert_eq!((rows_at(&table, 1), rows_at(&table, 2)), (0, 1));
    table.stamp(first, TxnId(1), CommitTs(1));
    table.stamp(first, TxnId(1), CommitTs(1));
    assert_eq!((rows_at(&table, 0), rows_at(&table, 1), rows_at(&table, 2)), (0, 1, 2));
}

#[test]
fn a_rolled_back_bulk_insert_gives_its_memory_back() {
    let table = table();
    let slots: Vec<_> = (0..2000).map(|n| insert(&table, n, 1, "some text that takes room")).collect();
    assert_eq!(table.rows(), 2000);
    assert!(table.counts().bytes_held > 2000 * 25);
    slots.into_iter().rev().for_each(|slot| table.undo(slot, TxnId(1)));
    table.reclaim(CommitTs::ZERO);
    assert_eq!(table.counts(), Counts::default());
}

#[test]
fn a_slab_takes_no_more_than_its_references_reach() {
    let layout = Arc::new(RowLayout::new(&[SqlType::Text]));
    let table = DeltaTable::with_shape(Shape { heap_bytes_max: 1000, ..Shape::new(layout) });
    let long = |n| row(&table, &"x".repeat(n));
    let slot = insert(&table, 1, 1, &"x".repeat(400));
    let mine = Version::in_progress(TxnId(1));
    let expect = Expect::Version(mine);
    assert_eq!(table.put(&key(1), TxnId(1), expect, Write::Row(&long(401))), PutOutcome::Done(slot));
    assert_eq!(table.put(&key(1), TxnId(1), expect, Write::Row(&long(402))), PutOutcome::TooBig);
    assert_eq!(table.newest(&key(1), TxnId(1)), Newest::Row { version: mine, row: long(401) }, "nothing was changed");
    assert_eq!(table.put(&key(2), TxnId(1), Expect::NoSlot(Base::Absent), Write::Row(&long(1001))), PutOutcome::TooBig);
    assert_eq!(table.get(&key(2), &at(9)), Found::NoSlot);
    insert(&table, 2, 1, &"x".repeat(900));
    // Undone and stamped, there is room again.
    table.undo(slot, TxnId(1));
    table.stamp(slot, TxnId(1), CommitTs(1));
    let next = Expect::Version(Version::committed(CommitTs(1)));
    assert_eq!(table.put(&key(1), TxnId(2), next, Write::Row(&long(402))), PutOutcome::Done(slot));
    assert_eq!(table.get(&key(1), &at(1)), Found::Row(long(400)));
}

#[test]
fn what_was_written_lately_is_not_cold() {
    let table = table();
    for n in 0..4 {
        let slot = insert(&table, n, 1, "a");
        table.stamp(slot, TxnId(1), CommitTs(1));
        table.tick();
    }
    let cold = |at, ticks| table.cold(CommitTs(at), ticks, 100, 1 << 20).iter().map(|cold| cold.key.clone()).collect::<Vec<_>>();
    assert_eq!(cold(1, 3), [key(0), key(1)]);
    assert_eq!(cold(1, 5), []);
    assert_eq!(cold(0, 0), [], "not committed by then");
    let expect = Expect::Version(Version::committed(CommitTs(1)));
    let other = row(&table, "b");
    let PutOutcome::Done(slot) = table.put(&key(0), TxnId(2), expect, Write::Row(&other)) else { panic!("it is there") };
    assert_eq!(cold(2, 3), [key(1)], "in progress");
    table.stamp(slot, TxnId(2), CommitTs(2));
    assert_eq!(cold(2, 3), [key(1)], "just written");
    assert_eq!(cold(2, 0).len(), 4);
}

/// A row that a transaction inserts and writes over again and again has nothing to reclaim once it is stamped, so nobody came to give
/// back what was written over.
#[test]
fn what_a_transaction_has_written_over_is_given_back_when_it_commits() {
    let table = table();
    let slot = insert(&table, 1, 1, "first");
    for n in 0..100 {
        let text = format!("{n}{}", "x".repeat(1000));
        let written = table.overwrite(slot, TxnId(1), Version::in_progress(TxnId(1)), Write::Row(&row(&table, &text)));
        assert_eq!(written, PutOutcome::Done(slot));
    }
    table.stamp(slot, TxnId(1), CommitTs(1));
    assert!(table.bytes() < 10_000, "{:?}", table.counts());
}

#[test]
fn a_row_goes_on_until_it_is_deleted_whatever_has_its_key_then() {
    let put = |table: &DeltaTable, me: u64, expect: Version, write: Write<'_>| match table.put(
        &key(1),
        TxnId(me),
        Expect::Version(expect),
        write,
    ) {
        PutOutcome::Done(slot) => slot,
        other => panic!("{other:?}"),
    };
    let committed = |ts: u64| Version::committed(CommitTs(ts));
    let mine = |me: u64| Version::in_progress(TxnId(me));
    let table = table();
    let (a, b) = (row(&table, "a"), row(&table, "b"));
    table.stamp(insert(&table, 1, 1, "first"), TxnId(1), CommitTs(10));
    assert_eq!(table.lineage(&key(1), &at(9)), Lineage::Other, "there was none");
    // Updated, and moved to a segment.
    table.stamp(put(&table, 2, committed(10), Write::Row(&a)), TxnId(2), CommitTs(11));
    table.stamp(put(&table, 3, committed(11), Write::InSegment), TxnId(3), CommitTs(12));
    assert_eq!(table.lineage(&key(1), &at(10)), Lineage::Same);
    // A replacement that is taken back, or not yet committed, ends nothing.
    put(&table, 4, committed(12), Write::Deleted);
    let slot = put(&table, 4, mine(4), Write::Row(&b));
    assert_eq!(table.lineage(&key(1), &at(10)), Lineage::Same);
    table.undo(slot, TxnId(4));
    table.undo(slot, TxnId(4));
    // Deleted, put anew and updated by one transaction: no version says "deleted" afterwards.
    put(&table, 5, committed(12), Write::Deleted);
    put(&table, 5, mine(5), Write::Row(&a));
    table.stamp(put(&table, 5, mine(5), Write::Row(&b)), TxnId(5), CommitTs(13));
    assert_eq!(table.lineage(&key(1), &at(12)), Lineage::Other);
    assert_eq!(table.lineage(&key(1), &at(13)), Lineage::Same);
    // A version in between that nobody needs takes its mark along.
    table.stamp(put(&table, 6, committed(13), Write::Row(&a)), TxnId(6), CommitTs(14));
    assert_eq!(table.reclaim_between(&[CommitTs(12), CommitTs(14)]), 3);
    assert_eq!(table.get(&key(1), &at(12)), Found::InSegment);
    assert_eq!(table.lineage(&key(1), &at(12)), Lineage::Other);
    table.stamp(put(&table, 7, committed(14), Write::Deleted), TxnId(7), CommitTs(15));
    assert_eq!(table.lineage(&key(1), &at(14)), Lineage::Other);
    assert_eq!(table.lineage(&key(2), &at(14)), Lineage::Segment, "of a key without slot it knows nothing");
}
