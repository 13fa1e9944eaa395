//! TPC-H: the schema, the 22 queries, the data and the expected answers, for the `tpch` program and for `colonnade demo`.
//!
//! ```text
//!   schema.sql, queries/q01.sql .. q22.sql     compiled in; also plain files for psql
//!   tpchgen  --> Table::batches (Arrow)        bulk load, Parquet and CSV files
//!            \-> Table::copy_chunks (text)     COPY into any PostgreSQL-wire server; the same rows
//!   answers/sf0.01, answers/sf1                DuckDB's answers on that data (scripts/oracle/tpch_answers.py)
//! ```
//!
//! 1. Rows are a pure function of table and scale: every part split and every run makes the same ones.
//! 2. An answer is compared row by row ([`answers`]); only rows the query's ORDER BY leaves unordered may change places.
//!
//! Source: TPC-H specification 3.0, validation parameters; Q15 as its CTE variant.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answers;
mod data;
mod queries;
mod substitute;

pub use data::{CopyChunk, Table};
pub use queries::{QUERIES, Query, SCHEMA};
