//! COPY, run by a session.

use std::sync::Arc;

use env::{BLOCKING_BYTES_MIN, blocking};
use types::{SqlError, SqlState};

use crate::answer::{Answer, CopyInInfo, tag};
use crate::copy::encode::Encoder;
use crate::copy::from::CopyFrom;
use crate::copy::options::{Columns, Format, Options};
use crate::copy::to::CopyOut;
use crate::dml::{Default, default_of};
use crate::names::{Name, always_quoted};
use crate::parse::{Copy, CopyDirection, CopyWhat, Statement, parse_query};
use crate::query::output_columns;
use crate::session::Session;
use crate::watch::Watch;

impl Session {
    pub(crate) async fn run_copy(
        &mut self,
        statement: &Statement,
        copy: &Copy,
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        match copy.direction {
            CopyDirection::Server { from, program } => Err(refuse_server_file(from, program)),
            CopyDirection::FromStdin => {
                let options = Options::of(&copy.options, true)?;
                let CopyWhat::Table { name, columns } = &copy.what else {
                    return Err(SqlError::bug("COPY FROM of a query"));
                };
                self.copy_in(name, columns, options, watch)
            }
            CopyDirection::ToStdout => {
                let options = Options::of(&copy.options, false)?;
                self.copy_out(statement, &copy.what, options, watch)
            }
        }
    }

    fn copy_in(
        &mut self,
        name: &Name,
        columns: &[String],
        options: Options,
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let target = self.target_to_load(name)?;
        let table = Arc::clone(&target.table);
        let columns = copied_columns(columns, &table)?;
        check_forced(&options, &table, &columns)?;
        let dates = self.dates();
        let catalog = self.catalog();
        let mut defaults = Vec::new();
        for (at, column) in table.columns.iter().enumerate().filter(|(at, _)| !columns.contains(at)) {
            defaults.push((at, default_of(&catalog, column, &dates)?));
        }
        let info = CopyInInfo { columns: columns.len(), binary: options.format == Format::Binary };
        self.copy = Some(CopyFrom::new(target, columns, defaults, options, dates, watch.take()));
        Ok(Answer::CopyIn(info))
    }

    fn copy_out(
        &mut self,
        statement: &Statement,
        what: &CopyWhat,
        options: Options,
        watch: &mut Option<Watch>,
    ) -> Result<Answer, SqlError> {
        let catalog = self.begin_statement().catalog();
        let query = match what {
            CopyWhat::Query(query) => query.as_ref().clone(),
            CopyWhat::Table { name, columns } => {
                let table = Arc::clone(self.scope(&catalog).table(name).map_err(|error| match error.state {
                    SqlState::FEATURE_NOT_SUPPORTED => copy_of_view(name),
                    _ => error,
                })?);
                let columns = copied_columns(columns, &table)?;
                check_forced(&options, &table, &columns)?;
                let names: Vec<String> = columns.iter().map(|&c| always_quoted(&table.columns[c].name)).collect();
                let schema = catalog.schema_by_id(table.schema).map_or("public", |s| s.name.as_str());
                let text = format!("select {} from {}.{}", names.join(", "), always_quoted(schema), always_quoted(&table.name));
                *parse_query(&text)?
            }
        };
        let (plan, _) = self.analytic_plan(Some(statement), &query, &[])?;
        let columns = output_columns(&plan);
        let stream = plan.execute(self.execution(&[], Arc::default())?)?;
        let named: Vec<_> = columns.iter().map(|c| (c.name.clone(), c.data_type)).collect();
        let encoder = Encoder::new(options, self.format_options(), &named);
        let rows = crate::answer::Rows::query(columns, stream, watch.take(), false);
        Ok(Answer::CopyOut(CopyOut::new(rows, encoder)))
    }

    /// Takes COPY data: any cut of the stream. Errors: bad data, with context; the COPY is over then and rolled back, and the rest
    /// of the client's data is to be discarded.
    pub fn copy_in_data(&mut self, data: &[u8]) -> Result<(), SqlError> {
        let Some(mut copy) = self.copy.take() else { return Err(no_copy()) };
        copy.push(data);
        let computes = copy.defaults.iter().any(|(_, default)| matches!(default, Default::Computed(_)));
        let outcome = if computes || data.len() >= BLOCKING_BYTES_MIN {
            blocking(|| futures::executor::block_on(self.copy_rows(&mut copy, false)))
        } else {
            // Nothing in it waits for another task.
            match futures::FutureExt::now_or_never(self.copy_rows(&mut copy, false)) {
                Some(outcome) => outcome,
                None => Err(SqlError::bug("COPY waited where it cannot")),
            }
        };
        self.copy_outcome(copy, outcome)
    }

    fn copy_outcome(&mut self, copy: CopyFrom, outcome: Result<(), SqlError>) -> Result<(), SqlError> {
        match outcome {
            Ok(()) => {
                self.copy = Some(copy);
                Ok(())
            }
            Err(error) => {
                let error = copy.watch.as_ref().map_or(error.clone(), |watch| watch.explain(error));
                self.fail();
                Err(error)
            }
        }
    }

    async fn copy_rows(&mut self, copy: &mut CopyFrom, last: bool) -> Result<(), SqlError> {
        while let Some((batch, lines)) = copy.next(last)? {
            let types = copy.types();
            let filled = self.fill(&batch, &types, &copy.columns, &copy.defaults, &copy.target, &copy.dates).await?;
            copy.loader.add(self.open_transaction()?, filled, &lines)?;
        }
        Ok(())
    }

    /// The client sent everything. Returns the command tag.
    pub async fn copy_in_finish(&mut self) -> Result<String, SqlError> {
        let Some(mut copy) = self.copy.take() else { return Err(no_copy()) };
        let outcome = match self.copy_rows(&mut copy, true).await {
            Ok(()) => {
                let transaction = self.open_transaction();
                let loaded = transaction.and_then(|transaction| copy.loader.finish(transaction));
                loaded.and_then(|loaded| self.settle_statement().map(|()| loaded))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok((rows, _)) => {
                env::point(self.instance.env().as_ref(), "copy: rows written");
                Ok(tag("COPY", rows))
            }
            Err(error) => {
                let error = copy.watch.as_ref().map_or(error.clone(), |watch| watch.explain(error));
                self.fail();
                Err(error)
            }
        }
    }

    /// The client gave up (CopyFail) or vanished: rolls the COPY back and returns the error to report (57014).
    pub fn copy_in_fail(&mut self, reason: &str) -> SqlError {
        let place = self.copy.as_ref().map(|copy| format!("COPY {}, line {}", copy.target.table.name, copy.next_line()));
        self.fail();
        SqlError::new(SqlState::QUERY_CANCELED, format!("COPY from stdin failed: {reason}")).context(place.unwrap_or_default())
    }
}

fn no_copy() -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, "no COPY is in progress")
}

/// Server files are not for clients, whoever they are: a file's name in SQL must not reach the server's disk.
fn refuse_server_file(from: bool, program: bool) -> SqlError {
    let direction = if from { "from" } else { "to" };
    let what = if program { "an external program" } else { "a file" };
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to COPY {direction} {what}"))
        .hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.")
}

fn copy_of_view(name: &Name) -> SqlError {
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot copy from view \"{}\"", name.name))
        .hint("Try the COPY (SELECT ...) TO variant.")
}

/// The columns that are copied, by position: without names all that are not generated. Errors: 42703, 42701, 42P10.
pub(crate) fn copied_columns(names: &[String], table: &catalog::Table) -> Result<Vec<usize>, SqlError> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).filter(|at| table.columns[*at].generated.is_none()).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = table.column(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if table.columns[column].generated.is_some() {
            let message = format!("column \"{name}\" is a generated column");
            let error = SqlError::new(SqlState(*b"42P10"), message);
            return Err(error.detail("Generated columns cannot be used in COPY."));
        }
        if columns.contains(&column) {
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Errors unless the columns of FORCE_QUOTE and its kin are copied.
fn check_forced(options: &Options, table: &catalog::Table, columns: &[usize]) -> Result<(), SqlError> {
    for (forced, what) in
        [(&options.force_quote, "FORCE_QUOTE"), (&options.force_not_null, "FORCE_NOT_NULL"), (&options.force_null, "FORCE_NULL")]
    {
        let Columns::These(names) = forced else { continue };
        for name in names {
            match table.column(name) {
                None => {
                    let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
                    return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
                }
                Some(column) if !columns.contains(&column) => {
                    let message = format!("{what} column \"{name}\" not referenced by COPY");
                    return Err(SqlError::new(SqlState(*b"42P10"), message));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}
