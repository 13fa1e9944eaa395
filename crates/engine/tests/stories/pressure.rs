//! A delta that is full comes back to its budget, whatever its rows are like.

use std::sync::Arc;

use catalog::{Column, Edit, Table};
use engine::{EngineError, Inserted, Isolation, Modified, Options, Transaction};
use types::{ColumnId, Datum, Row, RowLayout, SqlType};

use crate::support::{Machine, by_hand, definition};

const KIB: u64 = 1 << 10;

fn short_of_memory(delta_bytes_max: u64) -> Machine {
    // Of a real server, where a segment is worth it from many rows on.
    Machine::new(Options {
        maintenance: true,
        delta_bytes_max,
        compact_overlap: 1000,
        wal_file_bytes: 64 << 20,
        scrub_bytes_per_second: 0,
        ..by_hand()
    })
}

/// A table of `k bigint primary key, v text`.
fn create_texts(machine: &Machine) -> Arc<Table> {
    let mut transaction = machine.begin();
    let id = transaction.new_oid();
    transaction.new_oid();
    let mut table = definition(id);
    table.columns[1] = Column {
        id: ColumnId(2),
        name: "v".into(),
        data_type: SqlType::Text,
        not_null: false,
        default: None,
        identity: None,
        generated: None,
    };
    transaction.edit_catalog(Edit::CreateTable(table.clone())).unwrap();
    transaction.commit().unwrap().wait().unwrap();
    Arc::new(table)
}

fn row(table: &Table, values: &[Datum]) -> Row {
    RowLayout::new(&table.stored_types()).encode(values)
}

fn insert_number(transaction: &mut Transaction, table: &Table, k: i64) {
    let row = row(table, &[Datum::Int8(k), Datum::Int8(k)]);
    assert_eq!(transaction.insert(table.id, &row).unwrap(), Inserted::Done);
}

fn insert_text(transaction: &mut Transaction, table: &Table, k: i64, bytes: usize) -> Result<Inserted, EngineError> {
    transaction.begin_statement();
    transaction.insert(table.id, &row(table, &[Datum::Int8(k), Datum::Text("x".repeat(bytes).into())]))
}

fn count(machine: &Machine, table: &Table) -> usize {
    let view = machine.begin().read_view().table(table.id).unwrap();
    let alive = |l: &engine::SegmentView| l.segment.rows() as usize - l.dead.len() as usize;
    view.delta(&[0], false, 1000).map(|batch| batch.num_rows()).sum::<usize>() + view.segments().iter().map(alive).sum::<usize>()
}

fn segments(machine: &Machine) -> usize {
    machine.engine().status().tables.iter().map(|t| t.segments).sum()
}

/// Only tables with many rows were frozen: of many small ones none was, and every write waited 10 s and was refused, for good.
#[test]
fn many_small_tables_make_room_for_one_another() {
    let machine = short_of_memory(64 * KIB);
    let tables: Vec<_> = (0..100).map(|_| machine.create_another_table().unwrap()).collect();
    for round in 0..40 {
        for table in &tables {
            machine.commit(|t| (0..8).for_each(|k| insert_number(t, table, round * 8 + k)));
        }
    }
    assert!(tables.iter().all(|table| count(&machine, table) == 320));
    assert_eq!(machine.engine().check().unwrap(), []);
}

/// The same of a table of few rows that are big.
#[test]
fn few_big_rows_leave_the_delta() {
    let machine = short_of_memory(1024 * KIB);
    let table = create_texts(&machine);
    for k in 0..200 {
        machine.commit(|t| assert_eq!(insert_text(t, &table, k, 50_000).unwrap(), Inserted::Done));
    }
    assert_eq!(count(&machine, &table), 200);
    let status = machine.engine().status();
    assert!(status.delta_bytes <= 2048 * KIB, "{status:?}");
}

/// It was refused only after 10 s, when nobody else could write either, and above a size that nobody could tell.
#[test]
fn a_transaction_that_outgrows_the_delta_is_refused_at_once_and_others_go_on() {
    let machine = short_of_memory(1024 * KIB);
    let table = create_texts(&machine);
    let refused = |error: EngineError| assert!(matches!(error, EngineError::TransactionOutgrowsDelta { .. }), "{error}");
    let before = env::Env::monotonic(machine.env.as_ref());
    let mut huge = machine.begin();
    let error = (0..).find_map(|k| insert_text(&mut huge, &table, k, 50_000).err()).unwrap();
    refused(error);
    huge.end_statement();
    refused(insert_text(&mut machine.begin(), &table, -1, 1030 * 1024).unwrap_err());
    assert!((env::Env::monotonic(machine.env.as_ref()) - before).as_secs() < 1);
    // What it has written is still there.
    for k in 1000..1100 {
        machine.commit(|t| {
            t.begin_writing_statement().unwrap();
            assert_eq!(insert_text(t, &table, k, 10_000).unwrap(), Inserted::Done);
        });
    }
    assert!((env::Env::monotonic(machine.env.as_ref()) - before).as_secs() < 5);
    huge.rollback();
    assert_eq!(count(&machine, &table), 100);
}

/// While a long snapshot keeps what has moved in memory, moving more frees nothing.
#[test]
fn a_long_snapshot_does_not_turn_all_small_tables_into_files() {
    let machine = short_of_memory(64 * KIB);
    let tables: Vec<_> = (0..100).map(|_| machine.create_another_table().unwrap()).collect();
    let old = machine.begin_as(Isolation::RepeatableRead);
    let fill = |from: i64, to: i64| {
        for table in &tables {
            machine.commit(|t| (from..to).for_each(|k| insert_number(t, table, k)));
        }
    };
    fill(0, 8);
    machine.env.run_jobs(100);
    assert_eq!(segments(&machine), 0, "the snapshot keeps everything");
    drop(old);
    let _old = machine.begin_as(Isolation::RepeatableRead);
    machine.env.run_jobs(100);
    let moved = segments(&machine);
    assert!(moved > 10 && moved < 90, "{moved}");
    machine.env.run_jobs(100);
    assert_eq!(segments(&machine), moved);
    drop(_old);
    machine.env.run_jobs(100);
    let status = machine.engine().status();
    assert!(status.delta_bytes <= 64 * KIB, "{status:?}");
}

/// If the delta is full of what cannot be moved, not every row of the others becomes a file.
#[test]
fn a_delta_full_of_rows_in_progress_does_not_make_a_file_of_every_other_row() {
    let machine = short_of_memory(256 * KIB);
    let (texts, other) = (create_texts(&machine), machine.create_another_table().unwrap());
    let mut open = [machine.begin(), machine.begin()];
    for k in 0..34 {
        assert_eq!(insert_text(&mut open[k as usize % 2], &texts, k, 10_000).unwrap(), Inserted::Done);
    }
    open.iter_mut().for_each(Transaction::end_statement);
    for k in 0..200 {
        machine.commit(|t| insert_number(t, &other, k));
        machine.env.run_jobs(1);
    }
    assert!(segments(&machine) <= 50, "{}", segments(&machine));
    open.into_iter().for_each(|open| open.commit().unwrap().wait().unwrap());
    machine.env.run_jobs(100);
    let status = machine.engine().status();
    assert!(status.delta_bytes <= 256 * KIB, "{status:?}");
    assert_eq!((count(&machine, &texts), count(&machine, &other)), (34, 200));
}

/// A hot row beside many cold ones: it stays where it is, what it was before goes.
#[test]
fn a_hot_row_stays_in_the_delta_while_big_tables_make_room() {
    let machine = short_of_memory(1024 * KIB);
    let table = create_texts(&machine);
    machine.commit(|t| assert_eq!(machine.insert(t, 1, 0).unwrap(), Inserted::Done));
    for k in 0..200 {
        machine.commit(|t| assert_eq!(insert_text(t, &table, k, 50_000).unwrap(), Inserted::Done));
        machine.commit(|t| assert_eq!(machine.update(t, 1, k).unwrap(), Modified::Changed));
    }
    assert_eq!(machine.rows(), [(1, 199)].into());
    assert_eq!(machine.engine().status().tables[0].segments, 0);
}

/// Recovery looked after every 1024 commits, whatever their size, and froze one table then.
#[test]
fn redoing_big_rows_of_many_tables_stays_within_the_budget() {
    let mut machine = Machine::new(Options { wal_file_bytes: 64 << 20, ..by_hand() });
    let tables: Vec<_> = (0..20).map(|_| create_texts(&machine)).collect();
    for k in 0..4 {
        for table in &tables {
            machine.commit(|t| assert_eq!(insert_text(t, table, k, 50_000).unwrap(), Inserted::Done));
        }
    }
    machine.options.delta_bytes_max = 512 * KIB;
    machine.kill().unwrap();
    let status = machine.engine().status();
    assert!(status.delta_bytes <= 1600 * KIB, "{status:?}");
    assert!(tables.iter().all(|table| count(&machine, table) == 4));
}
