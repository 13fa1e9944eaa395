//! The tables, how many rows each has at first, and the statements that make them.
//!
//! ```text
//!   create tables with primary keys --> COPY --> indexes --> foreign keys --> ANALYZE
//! ```
//!
//! 1. Indexes and references are made when the rows are there. Before, in a transaction that is rolled back, they are made on the
//!    empty tables: what a server does not take is said at once and not after the load.

use bench::{BenchError, Session};

const TABLES: &str = include_str!("../schema.sql");
const INDEXES: &str = include_str!("../indexes.sql");
const FOREIGN_KEYS: &str = include_str!("../foreign_keys.sql");

/// Districts of a warehouse.
pub(crate) const DISTRICTS: u32 = 10;
/// Customers of a district, and orders it has at first.
pub(crate) const CUSTOMERS: u32 = 3000;
/// Items there are, and stock rows of a warehouse.
pub(crate) const ITEMS: u32 = 100_000;
/// The last order that is delivered at first; the rest of the 3000 are new.
pub(crate) const DELIVERED: u32 = 2100;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Warehouse,
    District,
    Customer,
    History,
    Orders,
    NewOrder,
    Item,
    Stock,
    OrderLine,
}

impl Table {
    /// All of them, those that refer to others first.
    pub(crate) const ALL: [Table; 9] = [
        Table::OrderLine,
        Table::Stock,
        Table::NewOrder,
        Table::History,
        Table::Orders,
        Table::Customer,
        Table::District,
        Table::Warehouse,
        Table::Item,
    ];

    /// Its name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Warehouse => "warehouse",
            Table::District => "district",
            Table::Customer => "customer",
            Table::History => "history",
            Table::Orders => "orders",
            Table::NewOrder => "new_order",
            Table::Item => "item",
            Table::Stock => "stock",
            Table::OrderLine => "order_line",
        }
    }

    /// Rows after a load, on average: order lines are 5 to 15 an order.
    pub(crate) fn rows_about(self, warehouses: u32) -> u64 {
        let warehouses = u64::from(warehouses);
        let districts = warehouses * u64::from(DISTRICTS);
        let orders = districts * u64::from(CUSTOMERS);
        match self {
            Table::Warehouse => warehouses,
            Table::District => districts,
            Table::Customer | Table::History | Table::Orders => orders,
            Table::NewOrder => districts * u64::from(CUSTOMERS - DELIVERED),
            Table::Item => ITEMS.into(),
            Table::Stock => warehouses * u64::from(ITEMS),
            Table::OrderLine => orders * 10,
        }
    }
}

/// What is made beside tables and primary keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extras {
    pub(crate) indexes: bool,
    pub(crate) foreign_keys: bool,
}

impl Extras {
    /// Each wanted statement's text, with what it is for.
    fn statements(self) -> Vec<(String, &'static str)> {
        let indexes = statements(INDEXES).filter(|_| self.indexes).map(|sql| (sql, "--no-indexes"));
        let foreign_keys = statements(FOREIGN_KEYS).filter(|_| self.foreign_keys).map(|sql| (sql, "--no-foreign-keys"));
        indexes.chain(foreign_keys).map(|(sql, without)| (sql.to_owned(), without)).collect()
    }

    /// Makes them. Errors: the server's, with the flag that does without.
    pub(crate) async fn create(self, session: &Session) -> Result<(), BenchError> {
        for (sql, without) in self.statements() {
            session.run(&format!("{sql} ({without} loads without)"), &sql).await?;
        }
        Ok(())
    }

    /// Finds out if the server takes them (rule 1).
    pub(crate) async fn try_out(self, session: &Session) -> Result<(), BenchError> {
        if self.statements().is_empty() {
            return Ok(());
        }
        session.run("begin", "begin").await?;
        let tried = self.create(session).await;
        session.run("rollback", "rollback").await?;
        tried
    }
}

/// Creates the tables. Errors: the server's.
pub(crate) async fn create_tables(session: &Session) -> Result<(), BenchError> {
    for sql in statements(TABLES) {
        let head = sql.lines().next().unwrap_or_default().trim_end_matches(" (");
        session.run(&format!("{head} (--drop replaces old tables)"), sql).await?;
    }
    Ok(())
}

/// Drops them if they are there. Errors: the server's.
pub(crate) async fn drop_tables(session: &Session) -> Result<(), BenchError> {
    for table in Table::ALL {
        let sql = format!("drop table if exists {}", table.name());
        session.run(&sql, &sql).await?;
    }
    Ok(())
}

/// The statements of a file, without its comments.
fn statements(file: &'static str) -> impl Iterator<Item = &'static str> {
    let skip_comments = |text: &'static str| {
        let mut rest = text.trim_start();
        while let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        }
        rest.trim_end()
    };
    file.split(';').map(skip_comments).filter(|sql| !sql.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fall_into_statements() {
        assert_eq!(statements(TABLES).count(), Table::ALL.len());
        for table in Table::ALL {
            let head = format!("create table {} (", table.name());
            assert!(statements(TABLES).any(|sql| sql.starts_with(&head)), "{head}");
        }
        assert!(statements(INDEXES).all(|sql| sql.starts_with("create index ")));
        assert!(statements(FOREIGN_KEYS).all(|sql| sql.starts_with("alter table ")));
        assert_eq!((statements(INDEXES).count(), statements(FOREIGN_KEYS).count()), (2, 10));
    }
}
