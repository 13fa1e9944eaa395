//! CREATE TABLE AS, SELECT INTO.

use std::sync::Arc;

use catalog::Edit;
use types::{SqlError, SqlState, SqlType};

use crate::answer::{Answer, tag};
use crate::ddl::names::check_columns;
use crate::ddl::table::table_like;
use crate::dml::Loader;
use crate::parse::{CreateTableAs, Statement};
use crate::session::Session;

impl Session {
    pub(crate) async fn create_table_as(&mut self, statement: &Statement, create: &CreateTableAs) -> Result<Answer, SqlError> {
        let catalog = self.begin_ddl();
        let schema = self.scope(&catalog).schema_for_new(&create.name)?.id;
        if catalog.relation(schema, &create.name.name).is_some() {
            self.exists_already(&create.name.name, create.if_not_exists)?;
            return Ok(Answer::Done("CREATE TABLE AS".into()));
        }
        let (plan, _) = self.analytic_plan(Some(statement), &create.query, &[])?;
        if !plan.params().is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        if create.columns.len() > plan.columns().len() {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "too many column names were specified"));
        }
        if let Some(column) = plan.columns().iter().find(|column| column.data_type == SqlType::Char(0)) {
            let message = format!("column \"{}\" of type bpchar, without a length, is not supported", column.name);
            return Err(SqlError::unsupported(message).hint("Cast it to text or to character(n)."));
        }
        let named = plan.columns().iter().enumerate().map(|(at, column)| {
            let name = create.columns.get(at).unwrap_or(&column.name);
            (name.clone(), column.data_type)
        });
        let table = table_like(self.new_oid()?, schema, &create.name.name, named);
        check_columns(table.columns.iter().map(|c| c.name.as_str()))?;
        let table = Arc::new(table);
        let target = self.target(&table)?;
        // The query reads what was there before the table was.
        let execution = self.execution(&[], Arc::default())?;
        self.edit(Edit::CreateTable(table.as_ref().clone()))?;
        if !create.with_data {
            return Ok(Answer::Done("CREATE TABLE AS".into()));
        }
        let from: Vec<SqlType> = plan.columns().iter().map(|c| c.data_type).collect();
        let columns: Vec<usize> = (0..from.len()).collect();
        let dates = self.dates();
        let mut loader = Loader::new(target.clone());
        let mut stream = plan.execute(execution)?;
        while let Some(batch) = stream.next().await {
            let filled = self.fill(&batch?, &from, &columns, &[], &target, &dates).await?;
            loader.add(self.open_transaction()?, filled, &[])?;
        }
        let (rows, _) = loader.finish(self.open_transaction()?)?;
        Ok(Answer::Done(tag("SELECT", rows)))
    }
}
