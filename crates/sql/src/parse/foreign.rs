//! What sqlparser reads and nobody behind it would do: refused here, once, for every executor.
//!
//! 1. The structures are taken apart whole: a field that a new version of the parser adds does not compile before somebody has said
//!    who reads it.
//! 2. What PostgreSQL does not have is 42601, what we do not do is 0A000.
//!
//! Not here: what an executor refuses by itself since it knows it (`analytic::prepare`, `pg_catalog::bind`, `dml`).

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CastKind, Cte, Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, Join, JoinOperator,
    LimitClause, OrderBy, OrderByKind, Query, Select, SelectFlavor, SelectItem, TableFactor, Value, Visit, Visitor,
    WildcardAdditionalOptions,
};
use types::{SqlError, SqlState};

/// Errors: 42601 and 0A000, see the module's head.
pub(super) fn refuse(parsed: &impl Visit) -> Result<(), SqlError> {
    parsed.visit(&mut Foreign).break_value().map_or(Ok(()), Err)
}

struct Foreign;

type Flow = ControlFlow<SqlError>;

/// PostgreSQL has no such thing.
fn foreign(what: &str) -> Flow {
    ControlFlow::Break(SqlError::new(SqlState::SYNTAX_ERROR, format!("{what} is not part of PostgreSQL's SQL")))
}

fn not_done(what: &str) -> Flow {
    ControlFlow::Break(SqlError::unsupported(format!("{what} not supported")))
}

/// The first of these that is there.
fn none_of(parts: &[(bool, &str)]) -> Flow {
    match parts.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => foreign(what),
        None => ControlFlow::Continue(()),
    }
}

impl Visitor for Foreign {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        let Query { with, body: _, order_by, limit_clause, fetch, locks: _, for_clause, settings, format_clause, pipe_operators } =
            query;
        none_of(&[
            (for_clause.is_some(), "FOR XML, JSON or BROWSE"),
            (settings.is_some(), "SETTINGS"),
            (format_clause.is_some(), "FORMAT"),
            (!pipe_operators.is_empty(), "|>"),
            (fetch.as_ref().is_some_and(|fetch| fetch.percent), "FETCH FIRST .. PERCENT"),
        ])?;
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            let Cte { alias: _, query: _, from, materialized: _, closing_paren_token: _ } = cte;
            none_of(&[(from.is_some(), "FROM after a query of WITH")])?;
        }
        if let Some(OrderBy { kind, interpolate }) = order_by {
            none_of(&[(matches!(kind, OrderByKind::All(_)), "ORDER BY ALL"), (interpolate.is_some(), "INTERPOLATE")])?;
            if let OrderByKind::Expressions(items) = kind {
                none_of(&[(items.iter().any(|item| item.with_fill.is_some()), "WITH FILL")])?;
            }
        }
        match limit_clause {
            None => ControlFlow::Continue(()),
            Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) => none_of(&[(!limit_by.is_empty(), "LIMIT BY")]),
            Some(LimitClause::OffsetCommaLimit { .. }) => ControlFlow::Break(
                SqlError::new(SqlState::SYNTAX_ERROR, "LIMIT #,# syntax is not supported")
                    .hint("Use separate LIMIT and OFFSET clauses."),
            ),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        let Select {
            select_token: _,
            // A comment.
            optimizer_hints: _,
            distinct: _,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into: _,
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        let modifiers = match group_by {
            GroupByExpr::All(_) => return foreign("GROUP BY ALL without expressions"),
            GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        none_of(&[
            (select_modifiers.is_some(), "this word after SELECT"),
            (top.is_some(), "TOP"),
            (exclude.is_some(), "EXCLUDE"),
            (!lateral_views.is_empty(), "LATERAL VIEW"),
            (prewhere.is_some(), "PREWHERE"),
            (!connect_by.is_empty(), "CONNECT BY"),
            (!modifiers.is_empty(), "WITH after GROUP BY"),
            (!cluster_by.is_empty(), "CLUSTER BY"),
            (!distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!sort_by.is_empty(), "SORT BY"),
            (qualify.is_some(), "QUALIFY"),
            (value_table_mode.is_some(), "SELECT AS"),
            (!matches!(flavor, SelectFlavor::Standard), "FROM before SELECT"),
        ])?;
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {}
                SelectItem::ExprWithAliases { .. } => return foreign("more than one alias"),
                SelectItem::QualifiedWildcard(_, options) | SelectItem::Wildcard(options) => wildcard(options)?,
            }
        }
        from.iter().flat_map(|from| &from.joins).try_for_each(join)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table {
                name: _,
                alias: _,
                args,
                with_hints,
                version,
                with_ordinality: _,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                if sample.is_some() {
                    return not_done("TABLESAMPLE is");
                }
                none_of(&[
                    (args.as_ref().is_some_and(|args| args.settings.is_some()), "SETTINGS"),
                    (!with_hints.is_empty(), "WITH after a table"),
                    (version.is_some(), "a version of a table"),
                    (!partitions.is_empty(), "PARTITION after a table"),
                    (json_path.is_some(), "a path after a table"),
                    (!index_hints.is_empty(), "an index hint"),
                ])
            }
            TableFactor::Derived { lateral: _, subquery: _, alias: _, sample } => {
                none_of(&[(sample.is_some(), "TABLESAMPLE of a subquery")])
            }
            TableFactor::UNNEST { alias: _, array_exprs: _, with_offset, with_offset_alias: _, with_ordinality: _ } => {
                none_of(&[(*with_offset, "WITH OFFSET")])
            }
            TableFactor::Function { .. } | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::XmlTable { .. } => not_done("XMLTABLE is"),
            TableFactor::TableFunction { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::SemanticView { .. } => foreign("this item of FROM"),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Cast { kind: CastKind::TryCast | CastKind::SafeCast, .. } => foreign("a cast that gives NULL"),
            Expr::Cast { format: Some(_), .. } => foreign("FORMAT in a cast"),
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedByteStringLiteral(_) | Value::HexStringLiteral(_) => not_done("bit strings are"),
                _ => ControlFlow::Continue(()),
            },
            Expr::BinaryOp { op: BinaryOperator::Spaceship, .. } => ControlFlow::Break(
                SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist: <=>")
                    .hint("No operator matches the given name and argument types. You might need to add explicit type casts."),
            ),
            Expr::IsNormalized { .. } => not_done("IS NORMALIZED is"),
            Expr::JsonAccess { .. }
            | Expr::InUnnest { .. }
            | Expr::RLike { .. }
            | Expr::Convert { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::MatchAgainst { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::MemberOf(_) => foreign("this expression"),
            Expr::Function(function) => call(function),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn wildcard(options: &WildcardAdditionalOptions) -> Flow {
    let WildcardAdditionalOptions { wildcard_token: _, opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias } =
        options;
    none_of(&[
        (opt_ilike.is_some(), "ILIKE after *"),
        (opt_exclude.is_some(), "EXCLUDE after *"),
        (opt_except.is_some(), "EXCEPT after *"),
        (opt_replace.is_some(), "REPLACE after *"),
        (opt_rename.is_some(), "RENAME after *"),
        (opt_alias.is_some(), "AS after *"),
    ])
}

fn join(join: &Join) -> Flow {
    let Join { relation: _, global, join_operator } = join;
    if *global {
        return foreign("GLOBAL JOIN");
    }
    match join_operator {
        JoinOperator::Join(_)
        | JoinOperator::Inner(_)
        | JoinOperator::Left(_)
        | JoinOperator::LeftOuter(_)
        | JoinOperator::Right(_)
        | JoinOperator::RightOuter(_)
        | JoinOperator::FullOuter(_)
        | JoinOperator::CrossJoin(_) => ControlFlow::Continue(()),
        JoinOperator::Semi(_)
        | JoinOperator::LeftSemi(_)
        | JoinOperator::RightSemi(_)
        | JoinOperator::Anti(_)
        | JoinOperator::LeftAnti(_)
        | JoinOperator::RightAnti(_)
        | JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::AsOf { .. }
        | JoinOperator::StraightJoin(_)
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => foreign("this kind of join"),
    }
}

fn call(function: &Function) -> Flow {
    let Function { name: _, uses_odbc_syntax, parameters, args, filter: _, null_treatment, over: _, within_group: _ } = function;
    if let FunctionArguments::List(list) = args {
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(_) => {}
                FunctionArgumentClause::JsonNullClause(_) | FunctionArgumentClause::JsonReturningClause(_) => {
                    return not_done("JSON is");
                }
                FunctionArgumentClause::IgnoreOrRespectNulls(_)
                | FunctionArgumentClause::Limit(_)
                | FunctionArgumentClause::OnOverflow(_)
                | FunctionArgumentClause::Having(_)
                | FunctionArgumentClause::Separator(_) => return foreign("this clause of a call"),
            }
        }
    }
    none_of(&[
        (*uses_odbc_syntax, "{fn ..}"),
        (!matches!(parameters, FunctionArguments::None), "a second list of arguments"),
        (null_treatment.is_some(), "IGNORE NULLS or RESPECT NULLS"),
    ])
}

#[cfg(test)]
mod tests {
    use types::SqlState;

    use crate::parse::parse;

    #[test]
    fn what_nobody_reads_is_refused() {
        for (text, state) in [
            ("select * from t tablesample bernoulli (50)", SqlState::FEATURE_NOT_SUPPORTED),
            ("select * from t tablesample system (50) repeatable (1)", SqlState::FEATURE_NOT_SUPPORTED),
            ("select (select max(a) from t tablesample system (1))", SqlState::FEATURE_NOT_SUPPORTED),
            ("delete from t where a in (select a from u tablesample system (1))", SqlState::FEATURE_NOT_SUPPORTED),
            ("update t set a = 1 from u tablesample system (1)", SqlState::FEATURE_NOT_SUPPORTED),
            ("insert into t select * from u tablesample system (1)", SqlState::FEATURE_NOT_SUPPORTED),
            ("create view v as select * from u tablesample system (1)", SqlState::FEATURE_NOT_SUPPORTED),
            ("copy (select * from u tablesample system (1)) to stdout", SqlState::FEATURE_NOT_SUPPORTED),
            ("select 1 <=> 2", SqlState::UNDEFINED_FUNCTION),
            ("select b'101'", SqlState::FEATURE_NOT_SUPPORTED),
            ("select x'1f'", SqlState::FEATURE_NOT_SUPPORTED),
            ("select a from t connect by a = 1", SqlState::SYNTAX_ERROR),
            ("select a from t group by all", SqlState::SYNTAX_ERROR),
            ("select * from t with (nolock)", SqlState::SYNTAX_ERROR),
            ("select * from t global join u on true", SqlState::SYNTAX_ERROR),
            ("select t.a from t left semi join u on t.a = u.a", SqlState::SYNTAX_ERROR),
            ("select * from t pivot (sum(a) for b in ('c'))", SqlState::SYNTAX_ERROR),
            ("select * from t qualify a = 1", SqlState::SYNTAX_ERROR),
            ("select * from t sort by a", SqlState::SYNTAX_ERROR),
            ("select top 1 a from t", SqlState::SYNTAX_ERROR),
            ("select a from t for json auto", SqlState::SYNTAX_ERROR),
            ("select a from t fetch first 5 percent rows only", SqlState::SYNTAX_ERROR),
            ("select try_cast(a as text) from t", SqlState::SYNTAX_ERROR),
            ("select first_value(a) ignore nulls over () from t", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(parse(text).map(drop).map_err(|error| error.state), Err(state), "{text}");
        }
    }
}
