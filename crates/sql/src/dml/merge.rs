//! MERGE.
//!
//! ```text
//! SELECT key, clause, values FROM source LEFT JOIN table ON condition      clause: the first WHEN that fits, -1 if none does
//!         |
//!         +--key: UPDATE, DELETE of that row            no key: INSERT
//! ```
//!
//! 1. Every row of the source has one clause at most; values are computed for rows of their clause alone.
//! 2. A row of the table is changed once by one statement: 21000 for the second time.
//! 3. WHEN NOT MATCHED knows the source only.
//! 4. READ COMMITTED: when a row has changed since the statement's snapshot, the statement is undone, such rows are held, and it runs
//!    again on a fresh snapshot. PostgreSQL looks at those rows alone again; the two differ where others have made new rows match.
//!
//! Source: PostgreSQL 15 `nodeModifyTable.c`, `ExecMerge`.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use analytic::{AnalyticPlan, DmlSource, KEY_COLUMN};
use arrow::array::RecordBatch;
use catalog::Table;
use env::{blocking, blocking_if};
use sqlparser::ast::{Expr, Ident, Query, VisitMut, VisitorMut};
use types::text::Session as Dates;
use types::{Datum, Key, SqlError, SqlState, SqlType};

use crate::column::ColumnReader;
use crate::dml::assignments::plan_assignments;
use crate::dml::cell::{Cell, Cells, check_assignable};
use crate::dml::has_many_rows;
use crate::dml::insert::{is_untyped_expr, row_of_cells};
use crate::dml::modify::key_at;
use crate::dml::outcome::Outcome;
use crate::dml::returning::{Other, quoted};
use crate::dml::target::Target;
use crate::dml::write::{Changed, RowChange, Writer};
use crate::parameters;
use crate::parse::{Merge, MergeAction, Statement};
use crate::prepare::{Kind, Planned};
use crate::session::Session;

/// As of UPDATE.
const ATTEMPTS_MAX: usize = 100;

/// How a MERGE is run.
pub(crate) struct MergePlan {
    target: Target,
    /// Key, clause, values.
    pub(crate) source: AnalyticPlan,
    /// What each clause does.
    actions: Vec<Action>,
}

enum Action {
    Nothing,
    Delete,
    Update(Vec<(usize, Cell)>),
    /// All SQL columns.
    Insert(Vec<Cell>),
}

impl MergePlan {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn table_name(&self) -> &str {
        &self.target.table.name
    }
}

impl Session {
    pub(crate) fn plan_merge(
        &mut self,
        statement: &Statement,
        merge: &Merge,
        declared: &[Option<SqlType>],
    ) -> Result<Planned, SqlError> {
        let (table, known) = self.writable_table(statement, &merge.table)?;
        let catalog = self.catalog();
        let target = self.target(&table)?;
        let sources = self.relations_of(statement, std::slice::from_ref(&merge.source), declared)?;
        if sources.iter().any(|source| source.alias.value == known.value) {
            let message = format!("name \"{}\" specified more than once", known.value);
            return Err(SqlError::new(SqlState::DUPLICATE_ALIAS, message)
                .detail("The name is used both as MERGE target table and data source."));
        }
        let dates = self.dates();
        let mut cells = Cells { catalog: &catalog, dates: &dates, params: declared.to_vec(), general: vec![] };
        let names = SourceNames { target: &known, table: &table, sources: &sources };
        let mut actions = Vec::with_capacity(merge.clauses.len());
        let mut tests = Vec::with_capacity(merge.clauses.len());
        // Of each general expression: its clause, and the column it is for.
        let mut uses: Vec<(usize, usize)> = Vec::new();
        for (number, when) in merge.clauses.iter().enumerate() {
            let mut condition = when.condition.clone();
            let from = cells.general.len();
            let action = match &when.action {
                MergeAction::Nothing => Action::Nothing,
                MergeAction::Delete => Action::Delete,
                MergeAction::Update(assignments) => Action::Update(plan_assignments(assignments, &table, &mut cells)?),
                MergeAction::Insert { columns, overriding, values } => {
                    let columns = insert_columns(columns, &table)?;
                    let row = match values {
                        Some(values) => {
                            let explicit = columns.is_some();
                            let columns = columns.unwrap_or_else(|| (0..table.columns.len()).collect());
                            row_of_cells(&table, &columns, explicit, values, *overriding, &mut cells)?
                        }
                        None => table.columns.iter().map(|column| cells.default(column)).collect::<Result<_, _>>()?,
                    };
                    Action::Insert(row)
                }
            };
            if !when.matched {
                for expr in condition.iter_mut().chain(cells.general[from..].iter_mut()) {
                    names.qualify(expr)?;
                }
            }
            let of_cells: Vec<(usize, &Cell)> = match &action {
                Action::Update(assignments) => assignments.iter().map(|(column, cell)| (*column, cell)).collect(),
                Action::Insert(row) => row.iter().enumerate().collect(),
                Action::Nothing | Action::Delete => vec![],
            };
            uses.resize(cells.general.len(), (number, 0));
            for (column, cell) in of_cells {
                if let Cell::Computed(at) = cell {
                    uses[*at] = (number, column);
                }
            }
            actions.push(action);
            tests.push((when.matched, condition));
        }
        let Cells { mut params, general, .. } = cells;
        let clause = clause_number(&known, &tests)?;
        let mut values = vec![clause.clone()];
        for (expr, (number, _)) in general.iter().zip(&uses) {
            values.push(only_where(&clause, *number, expr)?);
        }
        let source = DmlSource {
            target: table.id,
            alias: known,
            from: vec![merge.source.clone()],
            selection: None,
            on: Some(merge.on.clone()),
            values,
        };
        let (context, system) = self.plan_context(Some(statement))?;
        let analytic = Arc::clone(self.instance.analytic());
        let plan = blocking(|| analytic.plan_dml(&context, &source, &params))?;
        parameters::settle(&mut params, plan.params(), &source.values);
        parameters::settle(&mut params, plan.params(), &source.from);
        parameters::settle(&mut params, plan.params(), &source.on);
        for (at, (expr, (_, column))) in general.iter().zip(&uses).enumerate() {
            if let Some(from) = plan.columns().get(at + 2)
                && !is_untyped_expr(expr)
            {
                check_assignable(from.data_type, &table.columns[*column])?;
            }
        }
        Ok(Planned {
            catalog,
            planning: Arc::clone(&self.settings.active().planning),
            params: parameters::settled(params),
            columns: None,
            kind: Kind::Merge(MergePlan { target, source: plan, actions }),
            volatile: system.was_used(),
        })
    }

    pub(crate) async fn run_merge(&mut self, plan: &MergePlan, params: &[Datum]) -> Result<Outcome, SqlError> {
        let dates = self.dates();
        for _ in 0..ATTEMPTS_MAX {
            let mut kept = self.instance.analytic().keep("rows to write");
            let batches = self.collect(&plan.source, params, &mut kept).await?;
            let before = self.locals.held.before.clone();
            let cancel = Arc::clone(&self.cancel);
            let mut writer = self.writer()?;
            let start = writer.transaction.savepoint();
            let mut work = Work { plan, params, dates: &dates, touched: HashSet::new(), stale: vec![], rows: 0 };
            let done = blocking_if(has_many_rows(&batches), || {
                batches.iter().try_for_each(|batch| match cancel.is_set() {
                    true => Err(crate::watch::canceled()),
                    false => work.batch(&mut writer, batch),
                })
            });
            match done {
                // The row it is in conflict with may be one that is not as the query saw it.
                Err(error) if error.state == SqlState::UNIQUE_VIOLATION && !work.stale.is_empty() => {}
                done => done?,
            }
            let Work { stale, rows, .. } = work;
            if stale.is_empty() {
                return self.outcome("MERGE", rows, None, vec![], params, kept).await;
            }
            writer.transaction.rollback_to(&start);
            self.locals.held.before = before;
            let mut writer = self.writer()?;
            for key in stale {
                writer.hold(&plan.target.table, &key)?;
            }
            writer.transaction.begin_statement();
        }
        Err(SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
            .hint("The rows of this statement change faster than it finds them. Run it again."))
    }
}

/// One attempt.
struct Work<'a> {
    plan: &'a MergePlan,
    params: &'a [Datum],
    dates: &'a Dates,
    touched: HashSet<Key>,
    /// Keys of rows that are not as the query saw them.
    stale: Vec<Key>,
    rows: u64,
}

impl Work<'_> {
    fn batch(&mut self, writer: &mut Writer<'_>, batch: &RecordBatch) -> Result<(), SqlError> {
        let columns = self.plan.source.columns();
        let readers: Vec<ColumnReader<'_>> =
            batch.columns().iter().zip(columns).skip(1).map(|(array, c)| ColumnReader::new(array, c.data_type)).collect();
        for row in 0..batch.num_rows() {
            let clause = match readers.first().map(|reader| reader.get(row).to_owned()) {
                Some(Datum::Int4(clause)) => usize::try_from(clause).ok(),
                Some(Datum::Int8(clause)) => usize::try_from(clause).ok(),
                other => return Err(SqlError::bug(format!("a clause is numbered {other:?}"))),
            };
            let Some(action) = clause.and_then(|clause| self.plan.actions.get(clause)) else { continue };
            let computed = |at: usize| readers.get(at + 1).map_or(Datum::Null, |r| r.get(row).to_owned());
            self.row(writer, key_at(batch.column(0), row)?, action, &computed)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        writer: &mut Writer<'_>,
        key: Option<&[u8]>,
        action: &Action,
        computed: &dyn Fn(usize) -> Datum,
    ) -> Result<(), SqlError> {
        let target = &self.plan.target;
        let columns = &target.table.columns;
        let sequences = writer.transaction.sequences();
        let value = |column: usize, cell: &Cell| cell.value(&columns[column], self.params, computed, self.dates, &sequences);
        let (key, new) = match (action, key) {
            (Action::Nothing, _) => return Ok(()),
            (Action::Insert(cells), _) => {
                let mut values = cells.iter().enumerate().map(|(at, cell)| value(at, cell)).collect::<Result<Vec<_>, _>>()?;
                target.writer.generate(&mut values)?;
                writer.insert(target, &values)?;
                self.rows += 1;
                return Ok(());
            }
            (_, None) => return Err(SqlError::bug("a row that is not there is to be changed")),
            (Action::Delete, Some(key)) => (key, None),
            (Action::Update(cells), Some(key)) => {
                let new = cells.iter().map(|(at, cell)| Ok((*at, value(*at, cell)?))).collect::<Result<Vec<_>, SqlError>>()?;
                (key, Some(new))
            }
        };
        if !self.touched.insert(Key::from(key)) {
            return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, "MERGE command cannot affect row a second time")
                .hint("Ensure that not more than one source row matches any one target row."));
        }
        let change = new.as_ref().map_or(RowChange::Delete, |new| RowChange::Set(new));
        match writer.change(target, key, &change)? {
            Changed::Done(_) => self.rows += 1,
            Changed::Gone | Changed::Stale => self.stale.push(Key::from(key)),
        }
        Ok(())
    }
}

/// The columns INSERT names, by position. Errors: 42703, 42701.
fn insert_columns(names: &[Ident], table: &Table) -> Result<Option<Vec<usize>>, SqlError> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = table.column(&name.value).ok_or_else(|| {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", name.value, table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if columns.contains(&column) {
            let message = format!("column \"{}\" specified more than once", name.value);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        columns.push(column);
    }
    Ok((!names.is_empty()).then_some(columns))
}

/// `CASE WHEN key IS NOT NULL THEN CASE WHEN condition THEN number .. ELSE -1 END ELSE CASE .. END END`
fn clause_number(target: &Ident, tests: &[(bool, Option<Expr>)]) -> Result<Expr, SqlError> {
    let first = |matched: bool| {
        let mut expr = crate::parse::parse_expr("-1")?;
        for (number, (_, condition)) in tests.iter().enumerate().filter(|(_, (of, _))| *of == matched).rev() {
            let condition = condition.clone().map_or_else(|| crate::parse::parse_expr("true"), Ok)?;
            expr = case(condition, crate::parse::parse_expr(&number.to_string())?, Some(expr))?;
        }
        Ok::<Expr, SqlError>(expr)
    };
    let key = Expr::CompoundIdentifier(vec![target.clone(), quoted(KEY_COLUMN)]);
    case(Expr::IsNotNull(Box::new(key)), first(true)?, Some(first(false)?))
}

/// `CASE WHEN clause = number THEN expr END`
fn only_where(clause: &Expr, number: usize, expr: &Expr) -> Result<Expr, SqlError> {
    let mut test = crate::parse::parse_expr(&format!("0 = {number}"))?;
    if let Expr::BinaryOp { left, .. } = &mut test {
        **left = Expr::Nested(Box::new(clause.clone()));
    }
    case(test, expr.clone(), None)
}

fn case(condition: Expr, then: Expr, otherwise: Option<Expr>) -> Result<Expr, SqlError> {
    let mut expr = crate::parse::parse_expr("case when true then 1 end")?;
    if let Expr::Case { conditions, else_result, .. } = &mut expr
        && let [when] = conditions.as_mut_slice()
    {
        when.condition = condition;
        when.result = then;
        *else_result = otherwise.map(Box::new);
    }
    Ok(expr)
}

/// What names mean in WHEN NOT MATCHED.
struct SourceNames<'a> {
    target: &'a Ident,
    table: &'a Table,
    sources: &'a [Other],
}

impl SourceNames<'_> {
    /// Lets names mean columns of the source. Errors: 42P01, 42703, 42702.
    fn qualify(&self, expr: &mut Expr) -> Result<(), SqlError> {
        match VisitMut::visit(expr, &mut Qualify { names: self, depth: 0 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

struct Qualify<'a> {
    names: &'a SourceNames<'a>,
    /// Of subqueries, which have names of their own.
    depth: usize,
}

impl VisitorMut for Qualify<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let names = self.names;
        match expr {
            Expr::CompoundIdentifier(parts) if parts.first().is_some_and(|part| part.value == names.target.value) => {
                let message = format!("invalid reference to FROM-clause entry for table \"{}\"", names.target.value);
                let detail = "There is an entry for table \"";
                let detail =
                    format!("{detail}{}\", but it cannot be referenced from this part of the query.", names.target.value);
                ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_TABLE, message).detail(detail))
            }
            Expr::Identifier(ident) if self.depth == 0 => {
                let mut found = names.sources.iter().filter(|source| source.has(&ident.value));
                match (found.next(), found.next()) {
                    (Some(source), None) => {
                        *expr = Expr::CompoundIdentifier(vec![source.alias.clone(), ident.clone()]);
                        ControlFlow::Continue(())
                    }
                    (Some(_), Some(_)) => {
                        let message = format!("column reference \"{}\" is ambiguous", ident.value);
                        ControlFlow::Break(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message))
                    }
                    (None, _) if names.table.column(&ident.value).is_some() => {
                        let message = format!("column \"{}\" does not exist", ident.value);
                        ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_COLUMN, message))
                    }
                    (None, _) => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
