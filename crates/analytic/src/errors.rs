//! What DataFusion and Arrow report, as PostgreSQL would say it: one table.
//!
//! ```text
//! our own SqlError, carried through as an external error      as it is
//! a known column, table, function or type is missing          42703, 42702, 42P01, 42883, 42804
//! a value does not fit                                        22003, 22012, 22P02, 22007
//! memory or temporary files ran out                           53200, 53100
//! not built                                                   0A000
//! anything else                                               XX000
//! ```
//!
//! Messages of libraries are recognised by their words only where no type tells more; each such line has a case in the `.slt` files
//! that makes the library say it.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Diagnostic, SchemaError, Span, TableReference};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use expr::dialect::DIALECT;
use types::{SqlError, SqlState};

mod planner;

/// An error as a client sees it. `text` is what the query was parsed from: spans in the error become its position.
pub fn sql_error(error: &DataFusionError, text: &str) -> SqlError {
    let mut found = shown(translate(error));
    if found.fields.position.is_none()
        && let Some(span) = span_of(error)
        && let Some(position) = position(text, span)
    {
        found = found.position(position);
    }
    if found.fields.position.is_none()
        && found.state == SqlState::UNDEFINED_FUNCTION
        && let Some(name) = found.message.strip_prefix("function ").and_then(|rest| rest.split('(').next())
        && let Some(position) = only_call(text, name)
    {
        found = found.position(position);
    }
    found
}

/// An error with names as the client knows them.
fn shown(mut error: SqlError) -> SqlError {
    let texts = [Some(&mut error.message), error.fields.detail.as_mut(), error.fields.hint.as_mut()];
    texts.into_iter().flatten().for_each(crate::names::show_all);
    error
}

/// Where a function is called, if that is in one place.
fn only_call(text: &str, name: &str) -> Option<u32> {
    let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().ok()?;
    let name = name.rsplit('.').next()?;
    let is_name = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
    let mut calls = tokens.windows(2).enumerate().filter(|(_, pair)| is_name(&pair[0].token) && pair[1].token == Token::LParen);
    let (mut at, _) = calls.next()?;
    if calls.next().is_some() {
        return None;
    }
    // With its schema.
    while at >= 2 && tokens.get(at - 1)?.token == Token::Period {
        at -= 2;
    }
    position(text, Span::try_from_sqlparser_span(tokens.get(at)?.span)?)
}

/// An error of ours, to travel through DataFusion.
pub(crate) fn raise(error: SqlError) -> DataFusionError {
    expr::arrow_driver::raise(error)
}

fn translate(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => external(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => arrow_error(inner),
        DataFusionError::SchemaError(inner, _) => schema_error(inner),
        DataFusionError::Context(context, inner) => match context.strip_prefix("view ") {
            Some(view) => translate(inner).context(format!("view \"{view}\"")),
            None => translate(inner),
        },
        DataFusionError::Diagnostic(diagnostic, inner) => with_hints(translate(inner), diagnostic),
        DataFusionError::Shared(inner) => translate(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => translate(first),
            None => SqlError::bug("an empty collection of errors"),
        },
        DataFusionError::ResourcesExhausted(message) => exhausted(message),
        DataFusionError::NotImplemented(message) if message.contains("OuterReferenceColumn(") => {
            SqlError::unsupported("LATERAL with columns of other tables in this place is not supported")
                .hint("They may be in a WHERE of equalities, without LIMIT, UNION and aggregates of no group.")
        }
        DataFusionError::NotImplemented(message) => SqlError::unsupported(lower_first(message)),
        DataFusionError::SQL(inner, _) => SqlError::new(SqlState::SYNTAX_ERROR, lower_first(&inner.to_string())),
        DataFusionError::IoError(inner) => io_error(inner),
        DataFusionError::Plan(message) => quoted(message).unwrap_or_else(|| planner::error(message)),
        DataFusionError::Execution(message) => quoted(message).unwrap_or_else(|| execution_error(message)),
        // pg_sleep is the only such function.
        DataFusionError::Internal(message) if message.contains("async functions should not be called directly") => {
            SqlError::unsupported("pg_sleep is supported in the SELECT list and in WHERE only")
        }
        DataFusionError::ExecutionJoin(inner) => SqlError::bug(format!("a part of the query stopped: {inner}")),
        other => SqlError::bug(other.strip_backtrace()),
    }
}

/// An error of ours that DataFusion put into a message of its own, as it does with those of a function's signature.
fn quoted(message: &str) -> Option<SqlError> {
    let (before, after) = message.split_once(" (SQLSTATE ")?;
    let state: [u8; 5] = after.get(..5)?.as_bytes().try_into().ok()?;
    let text = before.rsplit_once("External error: ").map_or(before, |(_, text)| text);
    let error = SqlError::new(SqlState(state), text);
    Some(match error.state {
        SqlState::UNDEFINED_FUNCTION => {
            error.hint("No function matches the given name and argument types. You might need to add explicit type casts.")
        }
        _ => error,
    })
}

fn external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> SqlError {
    if let Some(ours) = error.downcast_ref::<SqlError>() {
        ours.clone()
    } else if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        translate(inner)
    } else if let Some(inner) = error.downcast_ref::<ArrowError>() {
        arrow_error(inner)
    } else {
        match error.to_string() {
            text if text.contains("regex parse error") => regular_expression_error(&text.to_ascii_lowercase()),
            text => SqlError::bug(text),
        }
    }
}

fn arrow_error(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(inner) => external(inner.as_ref()),
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
        ArrowError::CastError(message) | ArrowError::ParseError(message) | ArrowError::ComputeError(message) => {
            value_error(message)
        }
        ArrowError::InvalidArgumentError(message) => value_error(message),
        ArrowError::MemoryError(message) => SqlError::new(SqlState::OUT_OF_MEMORY, lower_first(message)),
        ArrowError::NotYetImplemented(message) => SqlError::unsupported(lower_first(message)),
        ArrowError::IoError(_, inner) => io_error(inner),
        other => SqlError::bug(other.to_string()),
    }
}

fn io_error(error: &std::io::Error) -> SqlError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => SqlError::new(SqlState::DISK_FULL, format!("temporary files: {error}")),
        _ => SqlError::new(SqlState::IO_ERROR, error.to_string()),
    }
}

/// Whether a query has found no memory, which is not to say no room on disk.
pub(crate) fn is_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(message) if !is_disk(message))
}

fn is_disk(message: &str) -> bool {
    message.contains("temporary") || message.contains("disk space")
}

fn exhausted(message: &str) -> SqlError {
    if is_disk(message) {
        return SqlError::new(SqlState::DISK_FULL, "out of space for temporary files").detail(message.to_owned());
    }
    SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
        .detail(first_line(message))
        .hint("The query needs more memory than queries may use together. Select fewer columns or rows, or run it alone.")
}

/// A message of Arrow's about one value.
fn value_error(message: &str) -> SqlError {
    let lower = message.to_ascii_lowercase();
    let state = if lower.contains("divide by zero") || lower.contains("division by zero") {
        return SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    } else if lower.contains("cannot parse") || lower.contains("cannot cast string") || lower.contains("error parsing") {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else if ["overflow", "out of range", "too large to store", "can't cast value", "cannot represent"]
        .iter()
        .any(|words| lower.contains(words))
    {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("must be 1 or greater") {
        SqlState::INVALID_PARAMETER_VALUE
    } else if lower.contains("regex") || lower.contains("regular expression") {
        return regular_expression_error(&lower);
    } else if lower.contains("not supported") || lower.contains("unsupported") {
        SqlState::CANNOT_COERCE
    } else {
        return SqlError::bug(message);
    };
    SqlError::new(state, lower_first(&first_line(message)))
}

/// What the library says of a pattern, in PostgreSQL's words.
fn regular_expression_error(message: &str) -> SqlError {
    let what = if message.contains("unclosed character class") {
        "brackets [] not balanced"
    } else if message.contains("unclosed group") || message.contains("unopened group") {
        "parentheses () not balanced"
    } else if message.contains("repetition operator missing") {
        "quantifier operand invalid"
    } else if message.contains("repetition") {
        "invalid repetition count(s)"
    } else if message.contains("escape") || message.contains("incomplete") {
        "invalid escape \\ sequence"
    } else if message.contains("invalid character class range") {
        "invalid character range"
    } else {
        "the pattern is not supported"
    };
    SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {what}"))
}

fn schema_error(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if let Some(relation) = &field.relation
                && !valid_fields.iter().any(|f| f.relation.as_ref().is_some_and(|r| r.resolved_eq(relation)))
            {
                let table = relation.table();
                let error = SqlError::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{table}\""));
                let tables = valid_fields.iter().filter_map(|f| f.relation.as_ref().map(TableReference::table));
                return match closest(table, tables) {
                    Some(like) => error.hint(format!("Perhaps you meant to reference the table alias \"{like}\".")),
                    None => error,
                };
            }
            let name = crate::names::shown(&field.name);
            let message = match &field.relation {
                Some(relation) => format!("column {}.{name} does not exist", relation.table()),
                None => format!("column \"{name}\" does not exist"),
            };
            let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
            let names = valid_fields.iter().map(|f| f.name.as_str());
            match closest(name, names).and_then(|like| valid_fields.iter().find(|f| f.name == like)) {
                Some(like) => {
                    let table = like.relation.as_ref().map(|r| format!("{}.", r.table())).unwrap_or_default();
                    error.hint(format!("Perhaps you meant to reference the column \"{table}{}\".", like.name))
                }
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let name = &field.name;
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
                .hint("Give the columns different names with AS.")
        }
    }
}

fn execution_error(message: &str) -> SqlError {
    let lower = message.to_ascii_lowercase();
    if lower.contains("scalar subquery returned more than one row") || lower.contains("more than one row") {
        return SqlError::new(SqlState::CARDINALITY_VIOLATION, "more than one row returned by a subquery used as an expression");
    }
    if lower.contains("overflow") {
        return SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range");
    }
    match value_error(message) {
        error if error.state == SqlState::INTERNAL_ERROR => {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, lower_first(&first_line(message)))
        }
        error => error,
    }
}

fn with_hints(mut error: SqlError, diagnostic: &Diagnostic) -> SqlError {
    // PostgreSQL has none for these.
    if error.fields.hint.is_none()
        && error.state != SqlState::GROUPING_ERROR
        && let Some(help) = diagnostic.helps.first()
    {
        error = error.hint(help.message.clone());
    }
    error
}

fn span_of(error: &DataFusionError) -> Option<Span> {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => diagnostic.span.or_else(|| span_of(inner)),
        DataFusionError::Context(_, inner) => span_of(inner),
        DataFusionError::Shared(inner) => span_of(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(span_of),
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => field.spans().first(),
            _ => None,
        },
        _ => None,
    }
}

/// The character (counted from 1) at which a span (lines and columns from 1) starts.
fn position(text: &str, span: Span) -> Option<u32> {
    let (line, column) = (usize::try_from(span.start.line).ok()?, usize::try_from(span.start.column).ok()?);
    let before = text.split_inclusive('\n').take(line.checked_sub(1)?);
    let characters: usize = before.map(|line| line.chars().count()).sum();
    let position = characters + column;
    (column > 0 && position <= text.chars().count() + 1).then_some(position as u32)
}

/// An error with the position of what was parsed from `text` at a span.
pub(crate) fn at(error: SqlError, text: &str, span: datafusion::sql::sqlparser::tokenizer::Span) -> SqlError {
    match Span::try_from_sqlparser_span(span).and_then(|span| position(text, span)) {
        Some(position) => error.position(position),
        None => error,
    }
}

/// A relation's name as the user wrote it.
pub(crate) fn written(name: &TableReference) -> String {
    match (name.catalog(), name.schema()) {
        (Some(catalog), Some(schema)) => format!("{catalog}.{schema}.{}", name.table()),
        (None, Some(schema)) => format!("{schema}.{}", name.table()),
        _ => name.table().to_owned(),
    }
}

/// The name most like `name`, if one is alike enough to be meant: PostgreSQL's limits, at most 3 edits and at most half of the name.
pub(crate) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 2).min(3);
    candidates
        .map(|candidate| (datafusion::common::utils::datafusion_strsim::levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation stays as it is.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
