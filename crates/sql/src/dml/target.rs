//! The table that is written: its rows' form, and the writer that keeps its indexes and constraints.

use std::sync::Arc;

use analytic::RowFunctions;
use arrow::array::{ArrayRef, RecordBatch};
use catalog::{Catalog, Table};
use engine::{Change, EngineError, Modified, Transaction};
use expr::row::{Binder, Bound};
use point::TableWriter;
use point::write::{Compile, Expression, Fate, Inserted, Links, RowFunction};
use sqlparser::ast::Expr;
use types::{Datum, Key, Row, RowLayout, RowRef, SqlError, SqlType, TableId};

use crate::deparse::{self, Deparsed, Style};
use crate::names::Name;
use crate::parse::{parse_expr, sql_type};
use crate::prepare::{OwnPlan, Prepared};
use crate::session::Session;

/// A table and what is needed to write it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) table: Arc<Table>,
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) writer: Arc<TableWriter>,
}

impl Target {
    /// The key of a row of a table that has one, by its SQL columns.
    pub(crate) fn key_of(&self, values: &[Datum]) -> Key {
        let columns = self.table.key_columns();
        let of_key: Vec<Datum> = columns.iter().filter_map(|&c| values.get(c).cloned()).collect();
        self.table.key_from(&of_key)
    }

    /// The type of a SQL column.
    pub(crate) fn type_of(&self, column: usize) -> SqlType {
        self.table.columns[column].data_type
    }

    /// Adds a row given by its SQL columns, which are of their types. Errors: 23502, 23505, 23514, and the engine's.
    pub(crate) fn insert(&self, transaction: &mut Transaction, values: &[Datum]) -> Result<(), SqlError> {
        match self.writer.insert(transaction, values)? {
            Inserted::Done(_) => Ok(()),
            Inserted::Conflict(conflict) => Err(self.writer.conflict(&conflict, values)),
        }
    }

    /// Adds a row that has got another key; `old` is what it was.
    pub(crate) fn insert_moved(&self, transaction: &mut Transaction, old: &Row, values: &[Datum]) -> Result<(), SqlError> {
        match self.writer.insert_moved(transaction, old, values)? {
            Inserted::Done(_) => Ok(()),
            Inserted::Conflict(conflict) => Err(self.writer.conflict(&conflict, values)),
        }
    }

    /// Gives the row with this key new values, which are `None` where it stays as it is: SQL columns, of their types. It may get
    /// another key.
    pub(crate) fn rewrite(
        &self,
        transaction: &mut Transaction,
        key: &[u8],
        new: &mut dyn FnMut(RowRef<'_>) -> Result<Option<Vec<Datum>>, SqlError>,
    ) -> Result<Modified, SqlError> {
        let mut moved = None;
        let outcome = self.writer.modify_or_move(transaction, key, &mut |row| {
            let Some(mut values) = new(row)? else { return Ok(Fate::Here(Change::Keep)) };
            self.writer.generate(&mut values)?;
            self.writer.check_not_null(&values)?;
            let hidden = row.to_datums().into_iter().take(self.table.hidden());
            let image = self.layout.encode(&hidden.chain(values.iter().cloned()).collect::<Vec<_>>());
            if *self.table.key_of(&self.layout.read(&image)) == *key {
                return Ok(Fate::Here(Change::Put(image)));
            }
            moved = Some((row.to_row(), values));
            Ok(Fate::Moves)
        })?;
        if let (Modified::Changed, Some((old, values))) = (outcome, moved) {
            self.insert_moved(transaction, &old, &values)?;
        }
        Ok(outcome)
    }
}

impl Session {
    /// What is needed to write `table`, as the statement's catalog has it.
    pub(crate) fn target(&mut self, table: &Arc<Table>) -> Result<Target, SqlError> {
        let catalog = self.catalog();
        let schema = catalog.schema_by_id(table.schema).map_or("", |s| s.name.as_str());
        let mut compiler = Compiler { session: self, table, catalog: &catalog };
        let writer = TableWriter::new(table, schema, Links::of(table, &catalog), &mut compiler)?;
        Ok(Target { table: Arc::clone(table), layout: Arc::clone(writer.layout()), writer: Arc::new(writer) })
    }

    /// An expression over the rows of a table that `catalog` has.
    pub(crate) fn compile(&mut self, table: &Table, catalog: &Arc<Catalog>, expr: &Expr) -> Result<Expression, SqlError> {
        let column = |parts: &[&str]| {
            let name = match parts {
                [name] => name,
                [qualifier, name] if *qualifier == table.name => name,
                _ => return None,
            };
            let at = table.column(name)?;
            Some((at + table.hidden(), table.columns[at].data_type))
        };
        let data_type = |parsed: &sqlparser::ast::DataType| sql_type(parsed).ok();
        let mut binder = Binder { column: &column, data_type: &data_type, params: vec![] };
        match binder.bind(expr) {
            Some(Bound::Typed(bound)) if binder.params.is_empty() => Ok(Expression::Row(bound)),
            _ => {
                let functions = self.row_functions(table, catalog, std::slice::from_ref(expr))?;
                Ok(Expression::Other(Box::new(General { functions, hidden: table.hidden() })))
            }
        }
    }

    /// Expressions over the rows of a table that `catalog` has, planned as a query's. Errors: everything wrong with them.
    pub(crate) fn row_functions(
        &mut self,
        table: &Table,
        catalog: &Arc<Catalog>,
        exprs: &[Expr],
    ) -> Result<RowFunctions, SqlError> {
        let (mut context, _) = self.plan_context(None)?;
        context.catalog = Arc::clone(catalog);
        self.instance.analytic().row_functions(&context, table, exprs)
    }

    /// The plan to run a prepared statement by, now; the definitions of the tables it writes stay as the plan has them.
    pub(crate) fn plan_to_run(&mut self, prepared: &Prepared) -> Result<Arc<OwnPlan>, SqlError> {
        'again: loop {
            let planned = self.current_plan(prepared)?;
            for table in planned.written() {
                if !self.hold_definition(table)? {
                    continue 'again;
                }
            }
            return Ok(planned);
        }
    }

    /// Begins a statement that loads rows into a table.
    pub(crate) fn target_to_load(&mut self, name: &Name) -> Result<Target, SqlError> {
        self.begin_statement();
        loop {
            let catalog = self.catalog();
            let table = Arc::clone(self.scope(&catalog).table(name)?);
            if self.hold_definition(table.id)? {
                return self.target(&table);
            }
        }
    }

    /// Keeps a table's definition as the statement's snapshot has it. False: it was another one, and the statement has a new
    /// snapshot to be planned on. Errors: 40001 where the snapshot stays.
    pub(crate) fn hold_definition(&mut self, table: TableId) -> Result<bool, SqlError> {
        let transaction = self.open_transaction()?;
        let held = transaction.hold_definition(table);
        renewed(transaction, held)
    }

    /// As [`Session::hold_definition`], to change the definition.
    pub(crate) fn hold_table(&mut self, table: TableId) -> Result<bool, SqlError> {
        let transaction = self.open_transaction()?;
        let held = transaction.hold_table(table);
        renewed(transaction, held)
    }
}

/// Compiles what a table's definition has as text.
struct Compiler<'a> {
    session: &'a mut Session,
    table: &'a Table,
    catalog: &'a Arc<Catalog>,
}

impl Compile for Compiler<'_> {
    fn expression(&mut self, text: &str) -> Result<Expression, SqlError> {
        self.session.compile(self.table, self.catalog, &parse_expr(text)?)
    }

    fn shown(&self, text: &str) -> String {
        let Deparsed { text, is_call } = deparse::expression(text, self.table, Style::Pretty);
        if is_call { text } else { format!("({text})") }
    }
}

pub(crate) fn renewed(transaction: &mut Transaction, held: Result<(), EngineError>) -> Result<bool, SqlError> {
    match held {
        Ok(()) => Ok(true),
        // Whoever changed it has committed, but not everybody may see that yet.
        Err(EngineError::TableChanged(_) | EngineError::NoTable(_)) if transaction.begin_statement_anew()? => Ok(false),
        // One that is rewritten has another id: whether it is gone for good, the transaction cannot see.
        Err(EngineError::NoTable(id)) => Err(EngineError::TableChanged(id).into()),
        Err(error) => Err(error.into()),
    }
}

/// An expression that only the Arrow driver knows.
#[derive(Debug)]
struct General {
    functions: RowFunctions,
    hidden: usize,
}

impl RowFunction for General {
    fn evaluate(&self, row: RowRef<'_>) -> Result<Datum, SqlError> {
        let values = self.functions.evaluate_row(row, self.hidden)?;
        values.into_iter().next().ok_or_else(|| SqlError::bug("an expression gave no value"))
    }

    fn evaluate_batch(&self, batch: &RecordBatch) -> Result<ArrayRef, SqlError> {
        let arrays = self.functions.evaluate(batch)?;
        arrays.into_iter().next().ok_or_else(|| SqlError::bug("an expression gave no column"))
    }

    fn columns(&self) -> Vec<usize> {
        self.functions.reads().iter().map(|column| column + self.hidden).collect()
    }
}
