//! Which queries are about the system: those that read its relations, or only ask its functions.
//!
//! ```text
//! system relations only, or none and a function of the system    this module's plans
//! system relations and tables                                    DataFusion, with the system relations as tables in memory
//! everything else                                                DataFusion or the point path
//! ```

use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArguments, ObjectName, ObjectNamePart, Query, TableFactor, Visit, Visitor,
};

use super::bind::function_name;
use super::data::{self, Shape};
use super::{functions, kind};
use crate::names::{Name, SYSTEM_SCHEMAS, Scope};

/// What a relation's name stands for.
pub(crate) enum Found {
    System(&'static Shape),
    /// A table or view of a user.
    User,
    Nothing,
}

/// Looks a relation's name up: `pg_catalog` is searched first unless the search path names it.
pub(crate) fn find(names: Scope<'_>, parts: &[String]) -> Found {
    let (schema, name) = match parts {
        [name] => (None, name.as_str()),
        [schema, name] | [_, schema, name] => (Some(schema.as_str()), name.as_str()),
        _ => return Found::Nothing,
    };
    let user = |schema: Option<&str>| {
        let name = Name { database: None, schema: schema.map(str::to_owned), name: name.to_owned(), position: None };
        matches!(names.find(&name), Ok(Some(_)))
    };
    match schema {
        Some(schema) => match data::shape(schema, name) {
            Some(shape) => Found::System(shape),
            None if user(Some(schema)) => Found::User,
            None => Found::Nothing,
        },
        None => {
            let listed = names.search_path.iter().any(|s| s == SYSTEM_SCHEMAS[0]);
            let implicit = (!listed).then_some(SYSTEM_SCHEMAS[0]);
            for schema in implicit.into_iter().chain(names.search_path.iter().map(String::as_str)) {
                if let Some(shape) = data::shape(schema, name) {
                    return Found::System(shape);
                }
                if user(Some(schema)) {
                    return Found::User;
                }
            }
            Found::Nothing
        }
    }
}

/// What a query reads and calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Relations of the system.
    pub(crate) system: bool,
    /// Tables and views of users; names that stand for nothing too.
    pub(crate) user: bool,
    /// Functions, casts and operators that only the system knows.
    pub(crate) functions: bool,
}

impl Uses {
    /// Whether the query is for this module.
    pub(crate) fn is_system(self) -> bool {
        !self.user && (self.system || self.functions)
    }
}

/// Looks through a query.
pub(crate) fn uses(names: Scope<'_>, query: &Query) -> Uses {
    let mut look = Look { names, ctes: vec![], uses: Uses::default() };
    let _ = query.visit(&mut look);
    look.uses
}

struct Look<'a> {
    names: Scope<'a>,
    /// Names of WITH queries, wherever they are visible: one that hides a relation somewhere is taken to hide it everywhere.
    ctes: Vec<String>,
    uses: Uses,
}

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.ctes.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.relation(name),
            TableFactor::Table { name, args: Some(args), .. } => self.call(name, args.args.len()),
            TableFactor::Function { name, args, .. } => self.call(name, args.len()),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Cast { data_type, .. } => self.uses.functions |= is_system_type(data_type),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Look<'_> {
    fn relation(&mut self, name: &ObjectName) {
        let parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(|i| i.value.clone()).collect();
        if let [only] = parts.as_slice()
            && self.ctes.contains(only)
        {
            return;
        }
        match find(self.names, &parts) {
            Found::System(_) => self.uses.system = true,
            Found::User => self.uses.user = true,
            // The relation may be missing from a system schema, which is for the one to say who knows those.
            Found::Nothing => self.uses.user |= !parts.iter().any(|part| SYSTEM_SCHEMAS.contains(&part.as_str())),
        }
    }

    fn function(&mut self, function: &Function) {
        match &function.args {
            FunctionArguments::None => self.call(&function.name, 0),
            FunctionArguments::List(list) => self.call(&function.name, list.args.len()),
            FunctionArguments::Subquery(_) => {}
        }
    }

    fn call(&mut self, name: &ObjectName, arguments: usize) {
        let Some(name) = function_name(name) else { return };
        self.uses.functions |= system_function(&name.to_ascii_lowercase(), arguments).is_some();
    }
}

/// Whether a function is volatile, if it is one that only this module knows.
pub(crate) fn system_function(name: &str, arguments: usize) -> Option<bool> {
    let kinds = vec![kind::UNKNOWN; arguments];
    let of_system = functions::find(name, &kinds).filter(|function| function.of_system).map(|function| function.volatile);
    of_system.or_else(|| functions::is_system_set(name, &kinds).then_some(false))
}

/// Types only the system's relations have: those whose values are looked up.
fn is_system_type(data_type: &DataType) -> bool {
    kind::of_syntax(data_type).is_ok_and(|kind| {
        kind::is_reg(kind) || matches!(kind, kind::OID | kind::NAME | kind::CHAR | kind::XID | kind::INT2VECTOR | kind::OIDVECTOR)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_go_where_their_names_are_known() {
        let catalog = catalog::Catalog::new();
        let path = ["public".to_owned()];
        let names = Scope { catalog: &catalog, database: types::DatabaseId(5), search_path: &path };
        let system = |text: &str| uses(names, &crate::parse::parse_query(text).unwrap()).is_system();
        for text in [
            "select 1 from pg_class",
            "select * from information_schema.tables",
            "select pg_catalog.version()",
            "select current_schema(), current_user",
            "select 't'::regclass",
            "select * from pg_show_all_settings()",
            "with c as (select 1 from pg_class) select * from c",
            "select 1 where exists (select 1 from pg_type)",
            "select * from pg_catalog.pg_class, generate_series(1, 2)",
        ] {
            assert!(system(text), "{text}");
        }
        for text in [
            "select 1",
            "select now(), upper('x')",
            "select * from t",
            "select * from t, pg_class",
            "select version() from t",
            "with pg_class as (select 1) select * from pg_class",
            "select * from generate_series(1, 2)",
        ] {
            assert!(!system(text), "{text}");
        }
    }
}
