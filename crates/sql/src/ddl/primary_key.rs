//! ALTER TABLE ... ADD PRIMARY KEY: the rows move to new storage, sorted by the key.

use std::sync::Arc;

use types::{SqlError, SqlState};

use crate::answer::Answer;
use crate::dml::Loader;
use crate::names::{Name, always_quoted};
use crate::notice::Notice;
use crate::parse::{KeyConstraint, parse_query};
use crate::session::Session;

impl Session {
    pub(crate) async fn add_primary_key(
        &mut self,
        name: &Name,
        if_exists: bool,
        key: &KeyConstraint,
    ) -> Result<Answer, SqlError> {
        let done = Answer::Done("ALTER TABLE".into());
        let catalog = self.begin_ddl();
        if if_exists && self.scope(&catalog).find(name)?.is_none() {
            self.notice(Notice::plain(format!("relation \"{name}\" does not exist, skipping")));
            return Ok(done);
        }
        let (catalog, old) = self.table_to_alter(name, "ALTER TABLE")?;
        if old.primary_key.is_some() {
            let message = format!("multiple primary keys for table \"{}\" are not allowed", old.name);
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let mut new = self.renewed(&old)?;
        self.add_key(&mut new, key)?;
        let schema = catalog.schema_by_id(old.schema).map_or("public", |s| s.name.as_str());
        let columns: Vec<String> = old.columns.iter().map(|c| always_quoted(&c.name)).collect();
        let text = format!("select {} from {}.{}", columns.join(", "), always_quoted(schema), always_quoted(&old.name));
        let (plan, _) = self.analytic_plan(None, &*parse_query(&text)?, &[])?;
        self.replace_table(&old, new.clone())?;
        // Writers that were waited for have committed; the snapshot must have what they did.
        let transaction = self.open_transaction()?;
        transaction.settle()?;
        transaction.begin_statement();
        let new = Arc::new(new);
        let target = self.target(&new)?;
        let mut loader = Loader::new(target.clone());
        let from: Vec<_> = plan.columns().iter().map(|c| c.data_type).collect();
        let all: Vec<usize> = (0..from.len()).collect();
        let dates = self.dates();
        let mut stream = plan.execute(self.execution(&[], Arc::default())?)?;
        while let Some(batch) = stream.next().await {
            let filled = self.fill(&batch?, &from, &all, &[], &target, &dates).await?;
            loader.add(self.open_transaction()?, filled, &[]).map_err(|e| explain(e, &new))?;
        }
        loader.finish(self.open_transaction()?).map_err(|e| explain(e, &new))?;
        Ok(done)
    }
}

/// PostgreSQL's messages for rows that do not fit a key that is added.
fn explain(mut error: SqlError, table: &catalog::Table) -> SqlError {
    match error.state {
        SqlState::NOT_NULL_VIOLATION => {
            let column = error.fields.column.clone().unwrap_or_default();
            error.message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name);
            error.fields.detail = None;
        }
        SqlState::UNIQUE_VIOLATION => {
            let key = table.primary_key.as_ref().map_or("", |key| key.name.as_str());
            error.message = format!("could not create unique index \"{key}\"");
            error.fields.detail = error.fields.detail.map(|detail| detail.replace(" already exists.", " is duplicated."));
        }
        _ => {}
    }
    error
}
