//! Verification of everything an instance holds, and the repair of what can be made again: indexes.
//!
//! ```text
//! each row of the table --> the entry it should have --> is it there, and of this row?      as many entries as rows: then none is left over
//! ```
//!
//! Not here: checksums and the invariants of storage (`engine`).

use std::collections::BTreeSet;
use std::sync::Arc;

use catalog::Table;
use engine::{Begin, Cancel, Finding, ReadView};
use env::blocking;
use point::write::{IndexRule, StoredBatch};
use types::{Row, SqlError, TableId};

use crate::dml::Target;
use crate::instance::Instance;
use crate::names::quote_ident;
use crate::session::{Login, Session};

/// Findings of one index that are told one by one.
const FINDINGS_MAX: usize = 10;

/// Reads everything and compares every index with its table's rows. Returns what is wrong; a finding's table is the index where it is
/// about one. Blocks. Errors: whatever keeps it from looking.
pub fn check(instance: &Arc<Instance>) -> Result<Vec<Finding>, SqlError> {
    let mut findings = instance.engine().check()?;
    let unreadable: BTreeSet<TableId> = findings.iter().filter_map(|finding| finding.table).collect();
    let mut transaction = instance.engine().begin(Begin { read_only: true, ..Begin::default() });
    transaction.begin_statement();
    let view = transaction.read_view();
    for table in view.catalog().tables().filter(|table| !table.indexes.is_empty() && !unreadable.contains(&table.id)) {
        let mut session = session_in(instance, view.catalog(), table)?;
        session.begin_statement();
        let target = session.target(table)?;
        for index in target.writer.indexes().iter().filter(|index| !unreadable.contains(&index.id())) {
            if let Err(error) = check_index(&view, &target, index, &mut findings) {
                findings.push(finding(index, error.to_string()));
            }
        }
    }
    Ok(findings)
}

/// Builds the indexes anew that findings are about, each in a transaction of its own. Returns their names. Errors: 23505 where the rows
/// do not allow a unique one.
pub async fn repair(instance: &Arc<Instance>, findings: &[Finding]) -> Result<Vec<String>, SqlError> {
    let damaged: BTreeSet<TableId> = findings.iter().filter_map(|finding| finding.table).collect();
    let catalog = instance.engine().catalog();
    let mut repaired = Vec::new();
    for id in damaged {
        let Some((table, index)) = catalog.table_of_index(id).and_then(|table| Some((table, table.index(id)?))) else { continue };
        let mut session = session_in(instance, &catalog, table)?;
        let schema = catalog.schema_by_id(table.schema).map_or("", |schema| schema.name.as_str());
        for statement in session.parse(&format!("REINDEX INDEX {}.{}", quote_ident(schema), quote_ident(&index.name)))? {
            let prepared = session.prepare(&statement, &[])?;
            session.execute(&prepared, vec![]).await?;
        }
        session.finish_implicit().await?;
        repaired.push(index.name.clone());
    }
    Ok(repaired)
}

/// A session in the database of a table.
fn session_in(instance: &Arc<Instance>, catalog: &catalog::Catalog, table: &Table) -> Result<Session, SqlError> {
    let database = catalog.schema_by_id(table.schema).and_then(|schema| catalog.database_by_id(schema.database));
    let database = database.ok_or_else(|| SqlError::bug(format!("table {} is in no database", table.id)))?;
    let login = Login { database: database.name.clone(), user: "postgres".into(), ..Login::default() };
    Session::new(Arc::clone(instance), login)
}

fn finding(index: &IndexRule, what: String) -> Finding {
    Finding { table: Some(index.id()), place: format!("index {}", index.definition().name), what }
}

fn check_index(view: &ReadView, target: &Target, index: &IndexRule, findings: &mut Vec<Finding>) -> Result<(), SqlError> {
    blocking(|| {
        let (rows, entries) = (view.table(target.table.id)?, view.table(index.id())?);
        let columns: Vec<usize> = (0..target.layout.types().len()).collect();
        let cancel = Cancel::new();
        let (mut expected, mut wrong) = (0usize, Vec::new());
        for batch in rows.rows(&columns, &cancel) {
            let batch = StoredBatch::of_stored_columns(&target.table, &target.layout, &batch?)?;
            let wanted = index.entries(&batch)?;
            expected += wanted.num_rows();
            for at in 0..wanted.num_rows() {
                let entry = index.entry_at(&wanted, at);
                let row = |entry: &Row| index.row_key(&target.table, index.layout().read(entry));
                match entries.get(&index.entry_key(&entry))? {
                    Some(found) if row(&found) == row(&entry) => {}
                    Some(_) => {
                        wrong.push(format!("has another row's entry in the place of that of row {}", index.shown_row(&entry)))
                    }
                    None => wrong.push(format!("lacks the entry of row {}", index.shown_row(&entry))),
                }
            }
        }
        let mut found = 0usize;
        for batch in entries.rows(&[0], &cancel) {
            found += batch?.num_rows();
        }
        let missing = wrong.len();
        findings.extend(wrong.into_iter().take(FINDINGS_MAX).map(|what| finding(index, what)));
        if missing > FINDINGS_MAX {
            findings.push(finding(index, format!("lacks the entries of {missing} rows in all")));
        }
        if found != expected - missing {
            findings.push(finding(index, format!("has {found} entries, {} of which are those of rows", expected - missing)));
        }
        Ok(())
    })
}
