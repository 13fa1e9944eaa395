//! Tables in memory, and queries over them: what the tests of this crate share.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use analytic::{
    Analytic, AnalyticOptions, AnalyticPlan, Execution, JoinOrder, PlanContext, QueryStats, SessionInfo, SystemTables,
    TableSource, Tables, Unit,
};
use arrow::array::{Array, ArrayRef, BinaryViewBuilder, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use catalog::{Catalog, Column, Edit, PrimaryKey, Table};
use datafusion::sql::sqlparser::ast::{ColumnOption, Query, Statement, TableConstraint};
use datafusion::sql::sqlparser::parser::Parser;
use env::{Env, RealEnv};
use expr::dialect::DIALECT;
use roaring::RoaringBitmap;
use segments::{ColumnStatistics, Packed, Predicate};
use txn::Cancel;
use types::{ColumnId, Datum, Oid, SchemaId, SqlError, SqlState, SqlType, TableId, arrow_form, text};

/// A table's rows: units of stored columns, and the delta.
pub(crate) struct MemoryTable {
    pub(crate) definition: Arc<Table>,
    pub(crate) units: Vec<RecordBatch>,
    pub(crate) dead: Vec<RoaringBitmap>,
    pub(crate) delta: Vec<RecordBatch>,
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryTable").field(&self.definition.name).finish()
    }
}

impl MemoryTable {
    fn key_of(&self, batch: &RecordBatch, row: usize) -> Vec<u8> {
        let values: Vec<Datum> = self
            .definition
            .key_columns()
            .iter()
            .map(|c| arrow_form::datum_at(batch.column(*c), row, self.definition.stored_type(*c)))
            .collect();
        self.definition.key_from(&values).to_vec()
    }

    fn keys_of(&self, batch: &RecordBatch) -> ArrayRef {
        let mut keys = BinaryViewBuilder::new();
        (0..batch.num_rows()).for_each(|row| keys.append_value(self.key_of(batch, row)));
        Arc::new(keys.finish())
    }
}

impl TableSource for MemoryTable {
    fn units(&self) -> Vec<Unit> {
        let unit = |(segment, batch): (usize, &RecordBatch)| Unit { segment, group: 0, start: 0, rows: batch.num_rows() as u32 };
        self.units.iter().enumerate().map(unit).collect()
    }

    fn matching_rows(&self, unit: Unit, predicates: &[Predicate]) -> Vec<Range<u32>> {
        // A zone map of one zone, made on the spot.
        let batch = &self.units[unit.segment];
        for predicate in predicates {
            let t = self.definition.stored_type(predicate.column);
            let column = batch.column(predicate.column);
            let values: Vec<Datum> = (0..column.len()).map(|row| arrow_form::datum_at(column, row, t)).collect();
            use std::cmp::Ordering::{Equal, Greater, Less};
            let holds = |value: &Datum| {
                let order = expr::compare(value.as_ref(), predicate.value.as_ref());
                match predicate.op {
                    segments::Op::Eq => order == Some(Equal),
                    segments::Op::NotEq => order != Some(Equal),
                    segments::Op::Lt => order == Some(Less),
                    segments::Op::LtEq => matches!(order, Some(Less | Equal)),
                    segments::Op::Gt => order == Some(Greater),
                    segments::Op::GtEq => matches!(order, Some(Greater | Equal)),
                    segments::Op::IsNull => value.is_null(),
                    segments::Op::IsNotNull => !value.is_null(),
                }
            };
            if !values.iter().any(holds) {
                return vec![];
            }
        }
        std::iter::once(0..unit.rows).collect()
    }

    fn packed(&self, unit: Unit, column: usize) -> Result<Arc<Packed>, SqlError> {
        let array = Arc::clone(self.units[unit.segment].column(column));
        let packed = Packed::new(array, self.definition.stored_type(column)).map(Arc::new);
        packed.ok_or_else(|| SqlError::bug("a column of another type"))
    }

    fn keys(&self, unit: Unit) -> Result<ArrayRef, SqlError> {
        Ok(self.keys_of(&self.units[unit.segment]))
    }

    fn dead(&self, unit: Unit) -> &RoaringBitmap {
        &self.dead[unit.segment]
    }

    fn delta(&self, columns: &[usize], with_key: bool, rows_per_batch: usize) -> Box<dyn Iterator<Item = RecordBatch> + Send> {
        let mut batches = Vec::new();
        for batch in &self.delta {
            let mut fields: Vec<_> = columns.iter().map(|c| batch.schema().field(*c).clone()).collect();
            let mut arrays: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(batch.column(*c))).collect();
            if with_key {
                fields.insert(0, arrow::datatypes::Field::new("__key", arrow::datatypes::DataType::BinaryView, false));
                arrays.insert(0, self.keys_of(batch));
            }
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let all = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap();
            for start in (0..all.num_rows()).step_by(rows_per_batch) {
                batches.push(all.slice(start, rows_per_batch.min(all.num_rows() - start)));
            }
        }
        Box::new(batches.into_iter())
    }

    fn rows_estimate(&self) -> u64 {
        let dead: u64 = self.dead.iter().map(RoaringBitmap::len).sum();
        self.units.iter().chain(&self.delta).map(|b| b.num_rows() as u64).sum::<u64>() - dead
    }

    fn column_statistics(&self, column: usize) -> Option<ColumnStatistics> {
        let t = self.definition.stored_type(column);
        let values: Vec<Datum> = self
            .units
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |row| arrow_form::datum_at(batch.column(column), row, t)))
            .filter(|v| !v.is_null())
            .collect();
        let by = |a: &&Datum, b: &&Datum| expr::compare(a.as_ref(), b.as_ref()).unwrap_or(std::cmp::Ordering::Equal);
        let distinct: std::collections::HashSet<String> = values.iter().map(|v| format!("{v:?}")).collect();
        Some(ColumnStatistics {
            min: values.iter().min_by(by).cloned(),
            max: values.iter().max_by(by).cloned(),
            null_count: 0,
            distinct: distinct.len() as u64,
        })
    }
}

/// A database in memory.
#[derive(Default)]
pub(crate) struct Memory {
    tables: HashMap<TableId, Arc<MemoryTable>>,
}

impl Tables for Memory {
    fn table(&self, table: TableId) -> Result<Arc<dyn TableSource>, SqlError> {
        match self.tables.get(&table) {
            Some(table) => Ok(Arc::clone(table) as Arc<dyn TableSource>),
            None => Err(SqlError::new(SqlState::UNDEFINED_TABLE, format!("no table {table}"))),
        }
    }
}

struct NoSystemTables;

impl SystemTables for NoSystemTables {
    fn table(&self, _schema: &str, _name: &str) -> Option<Result<Arc<dyn datafusion::catalog::TableProvider>, SqlError>> {
        None
    }
}

/// A database with its queries.
pub(crate) struct Database {
    pub(crate) analytic: Arc<Analytic>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) memory: Arc<Memory>,
}

/// The schema of a table's stored columns.
pub(crate) fn stored_schema(table: &Table) -> SchemaRef {
    Arc::new(Schema::new(
        table.stored_columns().map(|(name, t, nullable)| arrow_form::field(name, t, nullable)).collect::<Vec<_>>(),
    ))
}

fn analytic(joins: JoinOrder) -> Arc<Analytic> {
    let temp_dir = std::env::temp_dir().join("analytic-tests");
    // Tests of other processes may make it in the same moment.
    RealEnv::new().create_dir_all(&temp_dir).unwrap();
    let options = AnalyticOptions { threads: 2, memory_bytes_max: 1 << 30, temp_dir, temp_bytes_max: 1 << 30, joins };
    Analytic::new(options).unwrap()
}

impl Database {
    /// Tables from CREATE TABLE statements, without rows.
    pub(crate) fn new(ddl: &str) -> Database {
        let mut catalog = Catalog::new();
        for statement in Parser::parse_sql(&DIALECT, ddl).unwrap() {
            let Statement::CreateTable(create) = statement else { panic!("{statement} is no CREATE TABLE") };
            catalog = catalog.apply(&Edit::CreateTable(table_of(&create, catalog.next_oid()))).unwrap();
        }
        Database { analytic: analytic(JoinOrder::default()), catalog: Arc::new(catalog), memory: Arc::default() }
    }

    /// The same rows, with joins in the order of the text.
    pub(crate) fn as_written(&self) -> Database {
        let (catalog, memory) = (Arc::clone(&self.catalog), Arc::clone(&self.memory));
        Database { analytic: analytic(JoinOrder::AsWritten), catalog, memory }
    }

    pub(crate) fn definition(&self, name: &str) -> Arc<Table> {
        Arc::clone(self.catalog.tables().find(|t| t.name == name).unwrap())
    }

    /// Gives a table its rows: units of SQL columns (cast to their types), some rows of which are dead, and rows of the delta.
    pub(crate) fn fill(&mut self, name: &str, units: Vec<RecordBatch>, dead: Vec<RoaringBitmap>, delta: Vec<RecordBatch>) {
        let definition = self.definition(name);
        let schema = stored_schema(&definition);
        let mut rowid = 0;
        let mut stored = |batch: &RecordBatch| stored_batch(&definition, &schema, batch, &mut rowid);
        let units: Vec<RecordBatch> = units.iter().map(&mut stored).collect();
        let delta = delta.iter().map(&mut stored).collect();
        let mut dead = dead;
        dead.resize(units.len(), RoaringBitmap::new());
        let table = MemoryTable { definition: Arc::clone(&definition), units, dead, delta };
        Arc::get_mut(&mut self.memory).unwrap().tables.insert(definition.id, Arc::new(table));
    }

    /// Fills a table with rows given as text, in the delta.
    pub(crate) fn insert(&mut self, name: &str, rows: &[&[Option<&str>]]) {
        let definition = self.definition(name);
        let columns = definition.columns.iter().enumerate().map(|(at, column)| {
            let mut builder = arrow_form::ColumnBuilder::new(column.data_type, rows.len());
            for row in rows {
                let value = row[at].map_or(Datum::Null, |s| text::parse(column.data_type, s).unwrap());
                builder.append(value.as_ref());
            }
            builder.finish()
        });
        let fields = definition.columns.iter().map(|c| arrow_form::field(&c.name, c.data_type, !c.not_null)).collect::<Vec<_>>();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).unwrap();
        self.fill(name, vec![], vec![], vec![batch]);
    }

    pub(crate) fn context(&self, text: &str) -> PlanContext {
        PlanContext {
            catalog: Arc::clone(&self.catalog),
            database: self.catalog.database("postgres").unwrap().id,
            search_path: vec!["public".into()],
            system: Arc::new(NoSystemTables),
            session: Arc::new(SessionInfo { user: "tester".into(), database: "postgres".into(), ..SessionInfo::default() }),
            cancel: Arc::default(),
            text: text.into(),
        }
    }

    pub(crate) fn plan(&self, sql: &str, params: &[Option<SqlType>]) -> Result<AnalyticPlan, SqlError> {
        self.analytic.plan(&self.context(sql), &parse(sql), params)
    }

    pub(crate) fn execution<'a>(&self, params: &'a [Datum]) -> Execution<'a> {
        Execution {
            view: Arc::clone(&self.memory) as Arc<dyn Tables>,
            params,
            now_micros: NOW,
            cancel: Arc::new(Cancel::new()),
            stats: Arc::new(QueryStats::default()),
        }
    }

    /// The rows of a query as text, NULL as `None`.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        self.rows_with(sql, &[])
    }

    pub(crate) fn rows_with(&self, sql: &str, params: &[(SqlType, Datum)]) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let declared: Vec<_> = params.iter().map(|(t, _)| Some(*t)).collect();
        let values: Vec<Datum> = params.iter().map(|(_, v)| v.clone()).collect();
        let plan = self.plan(sql, &declared)?;
        rows_of(&plan, self.execution(&values))
    }

    /// The rows as one line each, values separated by `|`.
    pub(crate) fn lines(&self, sql: &str) -> Vec<String> {
        let rows = self.rows(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")).collect()
    }

    pub(crate) fn error(&self, sql: &str) -> SqlError {
        match self.rows(sql) {
            Ok(rows) => panic!("{sql} gave {rows:?}"),
            Err(error) => error,
        }
    }
}

/// 2024-05-09 15:04:05.678901 UTC.
pub(crate) const NOW: i64 = 1_715_267_045_678_901;

pub(crate) fn parse(sql: &str) -> Query {
    *Parser::new(&DIALECT).try_with_sql(sql).and_then(|mut p| p.parse_query()).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

pub(crate) fn rows_of(plan: &AnalyticPlan, execution: Execution<'_>) -> Result<Vec<Vec<Option<String>>>, SqlError> {
    let types: Vec<SqlType> = plan.columns().iter().map(|c| c.data_type).collect();
    let mut stream = plan.execute(execution)?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next_blocking() {
        let batch = batch?;
        for (column, expected) in batch.columns().iter().zip(plan.columns()) {
            assert_eq!(*column.data_type(), arrow_form::data_type(expected.data_type), "column {}", expected.name);
        }
        for row in 0..batch.num_rows() {
            let value = |(column, t): (&ArrayRef, &SqlType)| match arrow_form::datum_at(column, row, *t) {
                Datum::Null => None,
                value => Some(text::to_string(value.as_ref())),
            };
            rows.push(batch.columns().iter().zip(&types).map(value).collect());
        }
    }
    Ok(rows)
}

fn table_of(create: &datafusion::sql::sqlparser::ast::CreateTable, id: u32) -> Table {
    let name = create.name.0.last().unwrap().as_ident().unwrap().value.clone();
    let mut key: Vec<String> = create
        .constraints
        .iter()
        .filter_map(|c| match c {
            TableConstraint::PrimaryKey(key) => Some(key.columns.iter().map(|c| c.column.expr.to_string()).collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    let columns: Vec<Column> = create
        .columns
        .iter()
        .enumerate()
        .map(|(at, c)| {
            if c.options.iter().any(|o| matches!(o.option, ColumnOption::PrimaryKey(_))) {
                key.push(c.name.value.clone());
            }
            Column {
                id: ColumnId(at as u16 + 1),
                name: c.name.value.clone(),
                data_type: expr::arrow_driver::sql_type(&c.data_type).unwrap(),
                not_null: c.options.iter().any(|o| matches!(o.option, ColumnOption::NotNull)),
                default: None,
                identity: None,
                generated: None,
            }
        })
        .collect();
    let positions: Vec<usize> = key.iter().map(|k| columns.iter().position(|c| c.name == *k).unwrap()).collect();
    let mut columns = columns;
    positions.iter().for_each(|at| columns[*at].not_null = true);
    let primary_key =
        (!positions.is_empty()).then(|| PrimaryKey { id: Oid(id + 1), name: format!("{name}_pkey"), columns: positions });
    Table { id: TableId(id), schema: SchemaId(2200), name, columns, primary_key, ..Table::default() }
}

/// A batch of SQL columns as stored columns.
fn stored_batch(definition: &Table, schema: &SchemaRef, batch: &RecordBatch, rowid: &mut i64) -> RecordBatch {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::new();
    if definition.hidden() == 1 {
        let ids: arrow::array::Int64Array = (*rowid..*rowid + rows as i64).collect();
        *rowid += rows as i64;
        columns.push(Arc::new(ids));
    }
    for (column, array) in definition.columns.iter().zip(batch.columns()) {
        let mut array = cast(array, &arrow_form::data_type(column.data_type)).unwrap();
        if let SqlType::Char(n) = column.data_type {
            let strings = array.as_any().downcast_ref::<StringViewArray>().unwrap();
            let padded: StringViewArray = strings.iter().map(|s| s.map(|s| format!("{s:width$}", width = n as usize))).collect();
            array = Arc::new(padded);
        }
        columns.push(array);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// xorshift64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}
