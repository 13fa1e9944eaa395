//! How deep a statement's tree gets, bounded before it is built.
//!
//! ```text
//! a + b + c        sqlparser builds ((a + b) + c) in a loop: as deep as it is long, and everything behind it recurses
//! a OR b OR c OR d balanced after parsing to (a OR b) OR (c OR d): such lists are long in practice, and their order stays
//! CASE WHEN CASE WHEN ..   each level in a condition doubles the time of planning
//! ```

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, VisitMut, VisitorMut};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use types::{SqlError, SqlState};

use crate::parse::source::Source;

/// Operators in a row, with those around them. A level takes up to 2 KB of stack, and some callers' threads have 2 MB.
const CHAIN_MAX: usize = 500;

/// CASEs in each other's conditions: whether one can be NULL is found out twice for each that one is in.
const CASES_MAX: usize = 12;

/// Joins in each other without parentheses, which the parser reads by calling itself.
const OPEN_JOINS_MAX: usize = 64;

/// What may be long without being deep: nothing around it adds to what comes after it.
const BREAKS: &[Keyword] = &[
    Keyword::AND,
    Keyword::OR,
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::VALUES,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
];

/// These make one tree of what is on both sides, commas and clauses or not.
const LINKS: &[Keyword] = &[Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT, Keyword::JOIN];

/// Between a pair of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    links: usize,
    /// Operators since the last break.
    chain: usize,
    /// Joins whose condition is still to come.
    open_joins: usize,
}

impl Level {
    /// Goes on by a keyword, which comes after another.
    fn meet(&mut self, before: Keyword, keyword: Keyword) {
        match keyword {
            Keyword::JOIN if !matches!(before, Keyword::CROSS | Keyword::NATURAL) => self.open_joins += 1,
            Keyword::ON | Keyword::USING => self.open_joins = self.open_joins.saturating_sub(1),
            Keyword::FROM => self.open_joins = 0,
            _ => {}
        }
    }
}

/// The CASEs around a token: for each whether its operand or a condition of it is being read.
#[derive(Default)]
struct Cases(Vec<bool>);

impl Cases {
    /// Goes on by a keyword; says of how many CASEs the next token is in a condition.
    fn meet(&mut self, keyword: Keyword) -> usize {
        match keyword {
            Keyword::CASE => self.0.push(true),
            Keyword::END => drop(self.0.pop()),
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE => {
                if let Some(condition) = self.0.last_mut() {
                    *condition = keyword == Keyword::WHEN;
                }
            }
            _ => return 0,
        }
        self.0.iter().filter(|condition| **condition).count()
    }
}

/// Errors: 54001 if a tree of these tokens could be too deep for what comes after the parser.
pub(crate) fn check(tokens: &[TokenWithSpan], source: &Source) -> Result<(), SqlError> {
    let (mut outer, mut level) = (Vec::new(), Level::default());
    let mut around = 0;
    let mut cases = Cases::default();
    let mut before = Keyword::NoKeyword;
    let too_deep = |token: &TokenWithSpan, hint: String| {
        let position = source.position(source.byte(token.span.start));
        Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded").hint(hint).position(position))
    };
    for token in tokens {
        if let Token::Word(word) = &token.token
            && word.quote_style.is_none()
            && cases.meet(word.keyword) > CASES_MAX
        {
            return too_deep(token, format!("At most {CASES_MAX} CASE expressions may be in each other's conditions."));
        }
        if let Token::Word(word) = &token.token {
            level.meet(before, word.keyword);
            before = word.keyword;
            if level.open_joins > OPEN_JOINS_MAX {
                return too_deep(token, format!("At most {OPEN_JOINS_MAX} joins may be in each other without parentheses."));
            }
        }
        match &token.token {
            Token::LParen | Token::LBracket => {
                level.chain += usize::from(token.token == Token::LBracket);
                around += level.links + level.chain;
                outer.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket => {
                level = outer.pop().unwrap_or_default();
                around -= (level.links + level.chain).min(around);
            }
            Token::Comma => level.chain = 0,
            Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword => {}
            Token::Word(word) if BREAKS.contains(&word.keyword) => level.chain = 0,
            Token::Word(word) if LINKS.contains(&word.keyword) => level.links += 1,
            Token::Number(..) | Token::Period | Token::Placeholder(_) | Token::Whitespace(_) | Token::EOF => {}
            string if is_string(string) => {}
            _ => level.chain += 1,
        }
        if around + level.links + level.chain > CHAIN_MAX {
            return too_deep(
                token,
                format!("At most {CHAIN_MAX} operators may follow each other; AND, OR and lists may be longer."),
            );
        }
    }
    Ok(())
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::HexStringLiteral(_)
    )
}

/// Makes every row of ANDs or ORs a tree of logarithmic depth.
pub(crate) fn balance<T: VisitMut>(mut parsed: T) -> T {
    let _ = parsed.visit(&mut Balance);
    parsed
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } = expr
            && is_of(left, op)
            && !is_of(right, op)
        {
            let op = op.clone();
            let whole = std::mem::replace(expr, Expr::value(sqlparser::ast::Value::Null));
            *expr = tree(&mut terms(whole, &op), &op);
        }
        ControlFlow::Continue(())
    }
}

fn is_of(expr: &Expr, op: &BinaryOperator) -> bool {
    matches!(expr, Expr::BinaryOp { op: below, .. } if below == op)
}

/// The terms of a row that leans to the left, in order.
fn terms(mut row: Expr, op: &BinaryOperator) -> Vec<Expr> {
    let mut found = Vec::new();
    loop {
        match row {
            Expr::BinaryOp { left, op: of, right } if of == *op => {
                found.push(*right);
                row = *left;
            }
            first => {
                found.push(first);
                found.reverse();
                return found;
            }
        }
    }
}

fn tree(terms: &mut Vec<Expr>, op: &BinaryOperator) -> Expr {
    let mut right = terms.split_off(terms.len() / 2);
    let side = |terms: &mut Vec<Expr>| if terms.len() > 1 { tree(terms, op) } else { terms.remove(0) };
    let (left, right) = (side(terms), side(&mut right));
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn state(text: &str) -> Option<SqlState> {
        parse(text).err().map(|error| error.state)
    }

    #[test]
    fn rows_of_operators_are_bounded_and_lists_are_not() {
        let n = 3000;
        let long = |first: &str, term: &str, by: &str| format!("{first}{}", vec![term; n].join(by));
        for text in [
            long("select ", "1", "+"),
            long("select ", "1", " union all "),
            long("select ", "'a'", "||"),
            long("select count(*) from t ", "join u on true", " "),
            format!("select v{}", "::int".repeat(n)),
            format!("select v{}", " is null".repeat(n)),
            format!("select v{}", " collate \"C\"".repeat(n)),
            format!("select v{}", "[1]".repeat(n)),
            long("select 1 where ", "a + (1", "+") + &")".repeat(n),
        ] {
            assert_eq!(state(&text), Some(SqlState::STATEMENT_TOO_COMPLEX), "{}", &text[..40]);
        }
        for text in [
            long("select ", "a + 1", ", "),
            long("select * from t where v in (", "-1", ",") + ")",
            long("select * from t where ", "v = 1", " or "),
            long("delete from t where ", "v <> 1 + 1", " and "),
            long("select case ", "when a > 1 then 2", " ") + " end",
            long("insert into t values ", "(1, -2 + 3)", ", "),
            format!("select {}3{}", "case when a then 1 else ".repeat(50), " end".repeat(50)),
            format!("select {}3{}", "case when a then ".repeat(50), " end".repeat(50)),
            long("select ", "case when case when a then b end then c end", ", "),
            // Read twice each, it would never end.
            format!("select {}1{}", "f(a, ".repeat(150), ")".repeat(150)),
        ] {
            assert_eq!(state(&text), None, "{}", &text[..40]);
        }
    }

    #[test]
    fn joins_in_each_other_are_bounded_and_those_after_each_other_are_not() {
        let nested = |n: usize| format!("select * from t{}{}", " join t using (a)".repeat(n), " on true".repeat(n));
        let open = |n: usize| format!("select * from t{}{}", " left join t".repeat(n), " on true".repeat(n));
        assert_eq!(state(&open(OPEN_JOINS_MAX)), None);
        assert_eq!(state(&open(OPEN_JOINS_MAX + 1)), Some(SqlState::STATEMENT_TOO_COMPLEX));
        assert_eq!(state(&nested(OPEN_JOINS_MAX + 1)), Some(SqlState::SYNTAX_ERROR));
        for join in [" join t on true", " cross join t", " natural join t", " left join t using (a)"] {
            assert_eq!(state(&format!("select * from t{}", join.repeat(2 * OPEN_JOINS_MAX))), None, "{join}");
        }
    }

    #[test]
    fn balanced_terms_keep_their_order() {
        let text = |n: usize| (0..n).map(|i| format!("a = {i}")).collect::<Vec<_>>().join(" OR ");
        for n in [1, 2, 3, 4, 5, 8, 1000] {
            let expr = crate::parse::parse_expr(&text(n)).unwrap();
            let mut depth = 0;
            let mut at = &expr;
            while let Expr::BinaryOp { left, op: BinaryOperator::Or, .. } = at {
                (depth, at) = (depth + 1, left);
            }
            assert_eq!(expr.to_string(), text(n));
            assert!(depth <= 10, "{n} terms are {depth} deep");
        }
    }
}
