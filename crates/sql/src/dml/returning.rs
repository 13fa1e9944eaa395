//! RETURNING: columns of the rows that were written.

use catalog::Table;
use sqlparser::ast::{Expr, SelectItem, SelectItemQualifiedWildcardKind};
use types::{Datum, SqlError, SqlState};

use crate::prepare::OutputColumn;

/// Which SQL columns a statement gives back, under which names.
#[derive(Clone, Debug)]
pub(crate) struct Returning {
    columns: Vec<usize>,
    pub(crate) output: Vec<OutputColumn>,
}

impl Returning {
    /// What a RETURNING list asks for. Errors: 42703; 0A000 for expressions other than columns.
    pub(crate) fn of(items: Option<&[SelectItem]>, table: &Table, alias: Option<&str>) -> Result<Option<Returning>, SqlError> {
        let Some(items) = items else { return Ok(None) };
        let mut returning = Returning { columns: vec![], output: vec![] };
        let known = alias.unwrap_or(&table.name);
        let find = |name: &str| {
            table
                .column(name)
                .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))
        };
        let unsupported = || SqlError::unsupported("RETURNING of anything but columns of the table is not supported yet");
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(_) => {
                    (0..table.columns.len()).for_each(|column| returning.add(table, column, None));
                    continue;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
                    if name.to_string() == known =>
                {
                    (0..table.columns.len()).for_each(|column| returning.add(table, column, None));
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.as_str())),
                _ => return Err(unsupported()),
            };
            let column = match expr {
                Expr::Identifier(ident) => find(&ident.value)?,
                Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                    [qualifier, ident] if qualifier.value == known => find(&ident.value)?,
                    [qualifier, _] => {
                        let message = format!("missing FROM-clause entry for table \"{}\"", qualifier.value);
                        return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                    }
                    _ => return Err(unsupported()),
                },
                _ => return Err(unsupported()),
            };
            returning.add(table, column, name);
        }
        Ok(Some(returning))
    }

    fn add(&mut self, table: &Table, column: usize, name: Option<&str>) {
        let definition = &table.columns[column];
        self.columns.push(column);
        self.output.push(OutputColumn {
            name: name.unwrap_or(&definition.name).to_owned(),
            data_type: definition.data_type,
            type_oid: definition.data_type.oid(),
            type_modifier: definition.data_type.typmod(),
            table_oid: table.id.0,
            attnum: i16::try_from(definition.id.0).unwrap_or(0),
        });
    }

    /// The row given back for a row with these SQL columns.
    pub(crate) fn row(&self, values: &[Datum]) -> Vec<Datum> {
        self.columns.iter().map(|&column| values[column].clone()).collect()
    }
}
