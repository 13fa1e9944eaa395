//! COPY: rows as lines, in and out.
//!
//! ```text
//! FROM STDIN   bytes --decoder (text, csv, binary)--> fields --types--> columns --few--> rows into the transaction
//!                                                                           +----many--> a bulk load, straight into segments
//! TO STDOUT    batches --encoder (text, csv, binary)--> lines of at most about 64 KiB at a time
//! ```
//!
//! 1. Memory is bounded: one record, one batch of columns, and what the transaction itself keeps.
//! 2. Errors say where: `COPY t, line 3, column b: "x"`.
//! 3. A failed COPY leaves nothing.
//!
//! Files and programs of the server are refused. Source: PostgreSQL 15, `copyfromparse.c`, `copyto.c`.

pub(crate) mod binary;
pub(crate) mod csv;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod from;
pub(crate) mod options;
mod run;
pub(crate) mod text;
pub(crate) mod to;

pub(crate) use run::copied_columns;

#[cfg(test)]
mod tests;
