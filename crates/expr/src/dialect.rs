//! The grammar queries and expressions are parsed by: sqlparser's of PostgreSQL, mended where PostgreSQL reads something else.
//!
//! ```text
//! a IS DISTINCT FROM b AND c      sqlparser: a IS DISTINCT FROM (b AND c)      PostgreSQL: (a IS DISTINCT FROM b) AND c
//! a BETWEEN SYMMETRIC b AND c     not read                                     a BETWEEN b AND c OR a BETWEEN c AND b
//! trim(leading from a)            not read                                     ltrim(a)
//! -2 ^ 2, @ a - b                 -(2 ^ 2), (@ a) - b                          (-2) ^ 2, @ (a - b)
//! a JOIN b JOIN c ON d ON e       not read                                     a JOIN (b JOIN c ON d) ON e
//! ```
//!
//! 1. Everything that was and will be parsed goes through [`DIALECT`]: a view is kept as text, without parentheses that its tree needs not.
//!    But for statements with NATURAL in them: sqlparser's way to read a join within a join takes what follows a natural one for its inside.
//! 2. To the parser it is PostgreSQL's: what that overrides is passed on here, and the rest is the trait's. But for expressions as names of
//!    arguments: there are none, and to try reads each argument twice, and what is nested in it four times, and so on.
//!
//! Source: PostgreSQL 15, `gram.y`.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, TrimWhereField, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::syntax::is_larger;

/// What to parse with.
pub static DIALECT: Grammar = Grammar { joins_nest: true };

/// What to parse a statement with that has NATURAL in it: of joins within joins it reads only those in parentheses.
pub static NATURAL_DIALECT: Grammar = Grammar { joins_nest: false };

/// See the module's head.
#[derive(Debug)]
pub struct Grammar {
    joins_nest: bool,
}

const POSTGRESQL: PostgreSqlDialect = PostgreSqlDialect {};

macro_rules! as_postgresql {
    ($($name:ident)*) => { $(fn $name(&self) -> bool { POSTGRESQL.$name() })* };
}

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Some(op) = sign(&parser.peek_token_ref().token) {
            parser.advance_token();
            return Some(signed(parser, op));
        }
        let [trim, paren] = [0, 1].map(|n| &parser.peek_nth_token_ref(n).token);
        let is_trim = matches!(trim, Token::Word(word) if word.keyword == Keyword::TRIM) && *paren == Token::LParen;
        let at = match keyword_at(parser, 2) {
            Keyword::LEADING | Keyword::TRAILING | Keyword::BOTH => 3,
            _ => 2,
        };
        (is_trim && keyword_at(parser, at) == Keyword::FROM).then(|| trim_from(parser, at))
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let negated = usize::from(keyword_at(parser, 0) == Keyword::NOT);
        if keyword_at(parser, negated) == Keyword::BETWEEN {
            return match keyword_at(parser, negated + 1) {
                Keyword::SYMMETRIC => Some(between_symmetric(parser, expr, negated == 1)),
                Keyword::ASYMMETRIC => {
                    advance(parser, negated + 2);
                    Some(parser.parse_between(expr.clone(), negated == 1))
                }
                _ => None,
            };
        }
        if keyword_at(parser, 0) == Keyword::COLLATE {
            // Behind a cast, which sqlparser reads with what is before it.
            parser.advance_token();
            let collation = parser.parse_object_name(false);
            return Some(collation.map(|collation| Expr::Collate { expr: Box::new(expr.clone()), collation }));
        }
        if keyword_at(parser, 0) != Keyword::IS {
            return None;
        }
        if matches!(expr, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)) {
            // Its right side does not go on with IS, and it does not associate.
            return Some(parser.expected_ref("an end of the expression", parser.peek_token_ref()));
        }
        let negated = usize::from(keyword_at(parser, 1) == Keyword::NOT);
        let distinct = [1, 2].map(|n| keyword_at(parser, negated + n));
        (distinct == [Keyword::DISTINCT, Keyword::FROM]).then(|| {
            advance(parser, negated + 3);
            let (left, right) = (Box::new(expr.clone()), Box::new(parser.parse_subexpr(precedence)?));
            Ok(if negated == 1 { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) })
        })
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        !self.joins_nest
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRESQL.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRESQL.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRESQL.is_custom_operator_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRESQL.is_reserved_for_identifier(keyword)
    }

    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        *keyword != Keyword::FOR && !RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRESQL.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRESQL.prec_value(precedence)
    }

    as_postgresql! {
        supports_unicode_string_literal supports_filter_during_aggregation supports_group_by_expr allow_extract_custom
        allow_extract_single_quotes supports_create_index_with_clause supports_explain_with_utility_options
        supports_listen_notify supports_factorial_operator supports_bitwise_shift_operators supports_comment_on
        supports_load_extension supports_named_fn_args_with_colon_operator
        supports_empty_projections supports_nested_comments supports_string_escape_constant
        supports_numeric_literal_underscores supports_array_typedef_with_brackets supports_geometric_types supports_set_names
        supports_alter_column_type_using supports_notnull_operator supports_interval_options supports_insert_table_alias
        supports_create_table_like_parenthesized supports_select_wildcard_with_alias supports_comma_separated_trim
        supports_xml_expressions supports_comment_optimizer_hint
    }
}

/// Above COLLATE, below `[`.
const SIGN_PRECEDENCE: u8 = 125;

/// A prefix operator.
fn sign(token: &Token) -> Option<UnaryOperator> {
    Some(match token {
        Token::Minus => UnaryOperator::Minus,
        Token::Plus => UnaryOperator::Plus,
        Token::AtSign => UnaryOperator::PGAbs,
        Token::PGSquareRoot => UnaryOperator::PGSquareRoot,
        Token::PGCubeRoot => UnaryOperator::PGCubeRoot,
        _ => return None,
    })
}

/// What a prefix operator is applied to. Two in a row are kept apart as text: `--1` would be a comment.
fn signed(parser: &mut Parser, op: UnaryOperator) -> Result<Expr, ParserError> {
    let precedence = match op {
        UnaryOperator::Minus | UnaryOperator::Plus => SIGN_PRECEDENCE,
        _ => POSTGRESQL.prec_value(Precedence::PgOther),
    };
    let expr = Box::new(parser.parse_subexpr(precedence)?);
    let expr = if matches!(*expr, Expr::UnaryOp { .. }) { Box::new(Expr::Nested(expr)) } else { expr };
    Ok(Expr::UnaryOp { op, expr })
}

/// Expressions in one BETWEEN SYMMETRIC, which doubles them: nested ones double again.
const SYMMETRIC_MAX: usize = 1000;

fn keyword_at(parser: &Parser, n: usize) -> Keyword {
    match &parser.peek_nth_token_ref(n).token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn advance(parser: &mut Parser, tokens: usize) {
    (0..tokens).for_each(|_| parser.advance_token());
}

/// `[NOT] BETWEEN SYMMETRIC low AND high`: PostgreSQL, too, computes each operand twice.
fn between_symmetric(parser: &mut Parser, expr: &Expr, negated: bool) -> Result<Expr, ParserError> {
    advance(parser, usize::from(negated) + 2);
    let one = parser.parse_between(expr.clone(), false)?;
    if is_larger(&one, SYMMETRIC_MAX) {
        return Err(ParserError::RecursionLimitExceeded);
    }
    let Expr::Between { expr, low, high, .. } = one.clone() else { return Ok(one) };
    let other = Expr::Between { expr, negated: false, low: high, high: low };
    let either = Expr::BinaryOp { left: Box::new(one), op: BinaryOperator::Or, right: Box::new(other) };
    let either = Expr::Nested(Box::new(either));
    Ok(if negated { Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) })) } else { either })
}

/// `trim([leading | trailing | both] from expr [, characters])`, whose FROM is so many tokens ahead.
fn trim_from(parser: &mut Parser, at: usize) -> Result<Expr, ParserError> {
    let trim_where = match keyword_at(parser, 2) {
        Keyword::LEADING => Some(TrimWhereField::Leading),
        Keyword::TRAILING => Some(TrimWhereField::Trailing),
        Keyword::BOTH => Some(TrimWhereField::Both),
        _ => None,
    };
    advance(parser, at + 1);
    let expr = Box::new(parser.parse_expr()?);
    let trim_what = if parser.consume_token(&Token::Comma) { Some(Box::new(parser.parse_expr()?)) } else { None };
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim { expr, trim_where, trim_what, trim_characters: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree, with parentheses around every operation.
    fn tree(text: &str) -> Result<String, ParserError> {
        let mut parser = Parser::new(&DIALECT).try_with_sql(text)?;
        let mut expr = parser.parse_expr()?;
        parser.expect_token(&Token::EOF)?;
        let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut expr, |expr| {
            if !matches!(expr, Expr::Identifier(_) | Expr::Nested(_) | Expr::Value(_)) {
                *expr = Expr::Nested(Box::new(expr.clone()));
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        Ok(expr.to_string())
    }

    #[test]
    fn is_distinct_from_binds_as_postgresql_has_it() {
        for (text, expected) in [
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            ("a IS NOT DISTINCT FROM b OR c", "((a IS NOT DISTINCT FROM b) OR c)"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a IS DISTINCT FROM b)) AND c)"),
            ("a IS DISTINCT FROM (b AND c)", "(a IS DISTINCT FROM ((b AND c)))"),
            ("a IS DISTINCT FROM b = c", "(a IS DISTINCT FROM (b = c))"),
            ("a = b IS DISTINCT FROM c", "((a = b) IS DISTINCT FROM c)"),
            ("a IS DISTINCT FROM b + 1 AND c", "((a IS DISTINCT FROM (b + 1)) AND c)"),
            ("a AND b IS DISTINCT FROM c OR d", "((a AND (b IS DISTINCT FROM c)) OR d)"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d", "((a IS DISTINCT FROM b) AND (c IS DISTINCT FROM d))"),
            ("-a ^ 2 * b", "(((-a) ^ 2) * b)"),
            ("- - a", "(-((-a)))"),
            ("@ a - b = c", "((@(a - b)) = c)"),
            ("-a::b", "(-(a::b))"),
            ("a BETWEEN SYMMETRIC b AND c AND d", "((((a BETWEEN b AND c) OR (a BETWEEN c AND b))) AND d)"),
        ] {
            assert_eq!(tree(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn is_distinct_from_does_not_associate() {
        assert_eq!(tree("a IS NULL IS DISTINCT FROM b").unwrap(), "((a IS NULL) IS DISTINCT FROM b)");
        for text in ["a IS DISTINCT FROM b IS NULL", "a IS NOT DISTINCT FROM b IS DISTINCT FROM c"] {
            assert!(tree(text).is_err(), "{text}");
        }
    }
}
