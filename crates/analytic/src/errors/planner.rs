//! The planner's messages, which have no types of their own: known by their words.
//!
//! Source: DataFusion's `datafusion-sql` and `datafusion-expr`; the words that PostgreSQL 15 has for the same.

use types::{SqlError, SqlState};

use super::{first_line, lower_first};

/// A message of the planner's.
pub(super) fn error(message: &str) -> SqlError {
    let message = first_line(message);
    let has = |words: &str| message.contains(words);
    let state = if has("Invalid function") {
        return function_error(&message);
    } else if has("LIMIT must be >=") {
        return SqlError::new(SqlState(*b"2201W"), "LIMIT must not be negative");
    } else if has("OFFSET must be >=") {
        return SqlError::new(SqlState(*b"2201X"), "OFFSET must not be negative");
    } else if let Some(column) = ungrouped(&message) {
        let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return SqlError::new(SqlState::GROUPING_ERROR, message);
    } else if let Some(position) = after(&message, "annot find column with position ") {
        let message = format!("GROUP BY position {position} is not in select list");
        return SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message);
    } else if let Some(position) = after(&message, "rder by column out of bounds, specified: ") {
        let message = format!("ORDER BY position {position} is not in select list");
        return SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message);
    } else if has("to grouping function is not in grouping columns") {
        let message = "arguments to GROUPING must be grouping expressions of the associated query level";
        return SqlError::new(SqlState::GROUPING_ERROR, message);
    } else if has("annot project plan column") {
        return SqlError::unsupported("sides of a recursive query with different types are not supported")
            .hint("Cast the columns of the second to the types of the first.");
    } else if let Some((_, condition)) = message.split_once("HAVING clause references: ") {
        let column = condition.split(' ').next().unwrap_or_default();
        return if column.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.')) {
            let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
            SqlError::new(SqlState::GROUPING_ERROR, message)
        } else {
            SqlError::unsupported("this HAVING without GROUP BY and aggregates is not supported")
        };
    } else if has("aggregate function calls cannot be nested") || has("Aggregate function calls cannot be nested") {
        return SqlError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested");
    } else if has("nconsistent metadata across values list") || has("nconsistent data type across values list") {
        return SqlError::unsupported("expressions of different types in VALUES are not supported")
            .hint("Cast them to one type.");
    } else if has("For SELECT DISTINCT, ORDER BY expressions") {
        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
        return SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message);
    } else if has("SELECT DISTINCT ON expressions must match") {
        SqlState::INVALID_COLUMN_REFERENCE
    } else if has("must be part of GROUP BY")
        || has("could not be resolved from available columns")
        || has("must appear in the GROUP BY")
    {
        SqlState::GROUPING_ERROR
    } else if has("table") && has("not found") {
        SqlState::UNDEFINED_TABLE
    } else if has("Ambiguous reference") || has("ambiguous") {
        SqlState::AMBIGUOUS_COLUMN
    } else if has("No function matches")
        || has("Failed to coerce arguments")
        || has("does not support zero arguments")
        || has("Cannot infer common argument type")
        || has("Cannot coerce arithmetic expression")
        || has("failed to match any signature")
    {
        let text = message.replace("Error during planning: ", "");
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, lower_first(&text)).hint(
            "No function or operator matches the given names and argument types. You might need to add explicit type casts.",
        );
    } else if has("must return only one column") || has("must have the same number of columns") || has("same number of columns") {
        SqlState::SYNTAX_ERROR
    } else if has("Cannot cast") || has("Incompatible inputs") || has("non-boolean") || has("not boolean") {
        SqlState::DATATYPE_MISMATCH
    } else if has("not supported") || has("not implemented") || has("Unsupported") {
        SqlState::FEATURE_NOT_SUPPORTED
    } else if has("aggregate") || has("Aggregate") {
        SqlState::GROUPING_ERROR
    } else {
        SqlState::SYNTAX_ERROR
    };
    SqlError::new(state, lower_first(&message))
}

/// The number that follows these words.
fn after<'m>(message: &'m str, words: &str) -> Option<&'m str> {
    let (_, rest) = message.split_once(words)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest.get(..digits).filter(|digits| !digits.is_empty())
}

/// The column that a message of the planner's says to be neither grouped nor aggregated.
fn ungrouped(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("While expanding wildcard, column \"")?;
    after.split_once("\" must appear in the GROUP BY clause").map(|(column, _)| column)
}

/// `Invalid function 'nope'.\nDid you mean 'floor'?`
fn function_error(message: &str) -> SqlError {
    let quoted = message.split('\'').nth(1).unwrap_or("?");
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {quoted} does not exist"))
        .hint("No function matches the given name. Perhaps it is written differently, or not part of this version.")
}
