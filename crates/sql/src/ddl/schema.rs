//! CREATE SCHEMA, CREATE DATABASE.

use catalog::{Database, Edit, Schema};
use types::{DatabaseId, SchemaId, SqlError, SqlState};

use crate::answer::Answer;
use crate::names::SYSTEM_SCHEMAS;
use crate::notice::Notice;
use crate::parse::{CreateDatabase, CreateSchema, Statement};
use crate::session::Session;

impl Session {
    pub(crate) fn create_schema(&mut self, create: &CreateSchema) -> Result<Answer, SqlError> {
        let catalog = self.begin_ddl();
        let name = &create.name;
        if name.starts_with("pg_") {
            let state = SqlState(*b"42939");
            return Err(SqlError::new(state, format!("unacceptable schema name \"{name}\""))
                .detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        if catalog.schema(self.database, name).is_some() || SYSTEM_SCHEMAS.contains(&name.as_str()) {
            let message = format!("schema \"{name}\" already exists");
            if !create.if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_SCHEMA, message));
            }
            self.notice(Notice::notice_with(SqlState::DUPLICATE_SCHEMA, format!("{message}, skipping")));
            return Ok(Answer::Done("CREATE SCHEMA".into()));
        }
        let id = SchemaId(self.new_oid()?);
        self.edit(Edit::CreateSchema(Schema { id, database: self.database, name: name.clone() }))?;
        Ok(Answer::Done("CREATE SCHEMA".into()))
    }

    pub(crate) fn create_database(&mut self, statement: &Statement, create: &CreateDatabase) -> Result<Answer, SqlError> {
        self.prevent_in_block(statement, "CREATE DATABASE")?;
        if let Some(template) = &create.template {
            let message = format!("CREATE DATABASE from template \"{template}\" is not supported: only empty databases are made");
            return Err(SqlError::unsupported(message));
        }
        let catalog = self.begin_ddl();
        if catalog.database(&create.name).is_some() {
            let message = format!("database \"{}\" already exists", create.name);
            return Err(SqlError::new(SqlState::DUPLICATE_DATABASE, message));
        }
        let id = DatabaseId(self.new_oid()?);
        self.edit(Edit::CreateDatabase(Database { id, name: create.name.clone() }))?;
        let public = SchemaId(self.new_oid()?);
        self.edit(Edit::CreateSchema(Schema { id: public, database: id, name: "public".into() }))?;
        Ok(Answer::Done("CREATE DATABASE".into()))
    }
}
