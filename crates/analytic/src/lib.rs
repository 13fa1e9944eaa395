//! Queries: every SELECT that is not a key lookup, planned and run by DataFusion over one snapshot.
//!
//! ```text
//! AST --prepare--> AST' --names, types--> logical plan --bind--> with this snapshot's tables --optimize--> physical plan --> batches
//!     output names      (reused between     parameters and       our rules: date        our scan: delta and segments,
//!     literals, casts    executions)        statistics known     bounds, join order     one shared queue of morsels
//! ```
//!
//! 1. Meaning is PostgreSQL's: types, operators and functions come from `expr`; DataFusion's own are used where they agree.
//! 2. A plan holds no data. Which rows it reads is settled per execution by the [`Tables`] (a snapshot) it is given.
//! 3. Statistics are estimates, never claimed exact: a query is never answered from them.
//! 4. A query of WITH that is referred to more than once is computed once (`cte`).
//! 5. Everything runs on the [`Analytic`]'s own threads, at low priority and within its memory; what does not fit is spilled or
//!    refused with 53200. A query stops within a batch of being cancelled or dropped.
//!
//! Not here: key lookups (`point`), transactions and locks (`engine`), statements other than queries (`sql`). DML that needs a query
//! is planned here as a SELECT of keys and new values ([`DmlSource`]); the rows are written by `sql`. DataFusion's own DML hooks are
//! never implemented: they lose predicates.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod analytic;
mod apply;
mod bind;
mod compact_strings;
mod context;
mod cte;
mod dense_aggregate;
mod dependencies;
mod dml;
mod dynamic_filters;
mod errors;
mod explain;
mod join_mode;
mod join_order;
mod kept;
mod key_origins;
mod key_sets;
mod names;
mod no_row;
mod optimize;
mod outer_constants;
mod output;
mod parameters;
mod passing;
mod plan;
mod prepare;
mod resolve;
mod row_functions;
mod runtime;
mod scan;
mod selectivity;
mod session;
mod sleep;
mod source;
mod spilling;
mod statistics;
mod stop;
mod stream;
mod yielding;

pub use analytic::{Analytic, AnalyticOptions};
pub use context::{PlanContext, SessionInfo, SystemTables};
pub use dml::{DmlSource, KEY_COLUMN, keyed_name};
pub use errors::sql_error;
pub use explain::ExplainOptions;
pub use kept::Kept;
pub use optimize::JoinOrder;
pub use output::OutputColumn;
pub use plan::{AnalyticPlan, Execution};
pub use prepare::aggregates::refuse as refuse_aggregates;
pub use row_functions::RowFunctions;
pub use runtime::STACK_BYTES;
pub use source::{TableSource, Tables, Unit};
pub use statistics::QueryStats;
pub use stream::BatchStream;
