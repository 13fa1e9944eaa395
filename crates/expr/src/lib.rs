//! What expressions mean: PostgreSQL's operators, functions, casts and aggregates, once, for two ways of running them; and the grammar
//! that they and queries are parsed by (`dialect`).
//!
//! ```text
//!                     +-- rules: which operator for which types, and the type of the result
//!   one meaning  -----+-- kernels: what it does with values (types::Datum)
//!                     |
//!          +----------+-----------+
//!     row driver             Arrow driver
//!     RowExpr over a row     functions of DataFusion over arrays; vector loops where speed counts
//! ```
//!
//! 1. Both drivers resolve through the same rules and fall back on the same kernels, so they agree; a differential test says so.
//! 2. An expression the row driver does not know is not guessed at: it has no row form, and its statement goes to DataFusion.
//! 3. Integer and numeric arithmetic never wraps (22003); division by zero is 22012; a cast that loses is refused as PostgreSQL does.
//!
//! Not here: tables, sessions, plans.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod array_text;
pub mod arrow_driver;
mod cast;
mod decimal;
pub mod dialect;
mod function;
mod functions;
pub mod row;
mod rules;
pub mod syntax;

mod compare;

pub use compare::compare;
