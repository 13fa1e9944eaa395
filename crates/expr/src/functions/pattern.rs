//! Patterns: `SIMILAR TO`, SQL's regular expressions, matched by trying; and the escape character of `LIKE`.
//!
//! `%` any text, `_` one character, `|` one or the other, `*` `+` `?` `{m}` `{m,}` `{m,n}` repeat what is before them, `( )` groups,
//! `[..]` one of a set. The whole text must match. Patterns are compiled to nodes and matched with the sets of positions they can end
//! at; a repetition ends when it leads nowhere new.

use std::collections::BTreeSet;

use types::{SqlError, SqlState};

/// Groups in groups.
const NESTING_MAX: usize = 100;

enum Node {
    Char(char),
    Any,
    AnyText,
    Set { negated: bool, ranges: Vec<(char, char)> },
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat { node: Box<Node>, least: usize, most: usize },
}

/// Whether `text` is similar to `pattern`. Errors: 2201B, 22025.
pub(super) fn similar(text: &str, pattern: &str, escape: &str) -> Result<bool, SqlError> {
    let mut escapes = escape.chars();
    let (escape, None) = (escapes.next(), escapes.next()) else {
        return Err(
            SqlError::new(SqlState(*b"22025"), "invalid escape string").detail("Escape string must be empty or one character.")
        );
    };
    let mut parser = Parser { rest: pattern.chars().collect::<Vec<_>>().into_iter().peekable(), escape, depth: 0 };
    let node = parser.either()?;
    if parser.rest.peek().is_some() {
        return Err(invalid("parentheses () not balanced"));
    }
    let text: Vec<char> = text.chars().collect();
    Ok(ends(&node, &text, &BTreeSet::from([0])).contains(&text.len()))
}

/// A pattern of `LIKE` whose escape character is `escape` as one whose is the backslash. Errors: 22025.
pub(super) fn like_escape(pattern: &str, escape: &str) -> Result<String, SqlError> {
    let mut escapes = escape.chars();
    let (escape, None) = (escapes.next(), escapes.next()) else {
        return Err(
            SqlError::new(SqlState(*b"22025"), "invalid escape string").detail("Escape string must be empty or one character.")
        );
    };
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                out.push('\\');
                out.extend(chars.next());
            }
            // A backslash is a character like any other.
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn invalid(why: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {why}"))
}

struct Parser {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    escape: Option<char>,
    /// Open parentheses.
    depth: usize,
}

impl Parser {
    fn either(&mut self) -> Result<Node, SqlError> {
        let mut branches = vec![self.sequence()?];
        while self.rest.next_if_eq(&'|').is_some() {
            branches.push(self.sequence()?);
        }
        Ok(Node::Either(branches))
    }

    fn sequence(&mut self) -> Result<Node, SqlError> {
        let mut nodes = Vec::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let node = match c {
                c if Some(c) == self.escape => Node::Char(self.rest.next().ok_or_else(|| invalid("invalid escape \\ sequence"))?),
                '%' => Node::AnyText,
                '_' => Node::Any,
                '(' => {
                    self.depth += 1;
                    if self.depth > NESTING_MAX {
                        return Err(invalid("parentheses nest too deep"));
                    }
                    let inner = self.either()?;
                    self.depth -= 1;
                    if self.rest.next() != Some(')') {
                        return Err(invalid("parentheses () not balanced"));
                    }
                    inner
                }
                '[' => self.set()?,
                '*' | '+' | '?' | '{' => return Err(invalid("quantifier operand invalid")),
                c => Node::Char(c),
            };
            nodes.push(self.repeated(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn repeated(&mut self, node: Node) -> Result<Node, SqlError> {
        let (least, most) = match self.rest.next_if(|c| matches!(c, '*' | '+' | '?' | '{')) {
            None => return Ok(node),
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some(_) => {
                let least = self.number().ok_or_else(|| invalid("invalid repetition count(s)"))?;
                let most = match self.rest.next_if_eq(&',') {
                    Some(_) => self.number().unwrap_or(usize::MAX),
                    None => least,
                };
                if self.rest.next() != Some('}') || least > 255 || (most > 255 && most != usize::MAX) || most < least {
                    return Err(invalid("invalid repetition count(s)"));
                }
                (least, most)
            }
        };
        Ok(Node::Repeat { node: Box::new(node), least, most })
    }

    fn number(&mut self) -> Option<usize> {
        let mut digits = String::new();
        while let Some(c) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(c);
        }
        digits.parse().ok()
    }

    fn set(&mut self) -> Result<Node, SqlError> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let unbalanced = || invalid("brackets [] not balanced");
            match self.rest.next().ok_or_else(unbalanced)? {
                ']' if !ranges.is_empty() => return Ok(Node::Set { negated, ranges }),
                start => {
                    let mut ahead = self.rest.clone();
                    match (ahead.next(), ahead.next()) {
                        (Some('-'), Some(end)) if end != ']' => {
                            self.rest = ahead;
                            ranges.push((start, end));
                        }
                        _ => ranges.push((start, start)),
                    }
                }
            }
        }
    }
}

/// Where a match that starts at one of `starts` can end.
fn ends(node: &Node, text: &[char], starts: &BTreeSet<usize>) -> BTreeSet<usize> {
    let step = |matches: &dyn Fn(char) -> bool| {
        starts.iter().filter(|at| text.get(**at).is_some_and(|c| matches(*c))).map(|at| at + 1).collect()
    };
    match node {
        Node::Char(wanted) => step(&|c| c == *wanted),
        Node::Any => step(&|_| true),
        Node::AnyText => match starts.first() {
            Some(first) => (*first..=text.len()).collect(),
            None => BTreeSet::new(),
        },
        Node::Set { negated, ranges } => step(&|c| ranges.iter().any(|(a, b)| (*a..=*b).contains(&c)) != *negated),
        Node::Sequence(nodes) => nodes.iter().fold(starts.clone(), |at, node| ends(node, text, &at)),
        Node::Either(branches) => branches.iter().flat_map(|branch| ends(branch, text, starts)).collect(),
        Node::Repeat { node, least, most } => {
            let mut at = starts.clone();
            for _ in 0..*least {
                let next = ends(node, text, &at);
                if next == at {
                    break;
                }
                at = next;
            }
            let mut all = at.clone();
            let mut times = *least;
            while times < *most && !at.is_empty() {
                // Only ends not seen before can lead to new ones.
                at = ends(node, text, &at).difference(&all).copied().collect();
                all.extend(&at);
                times += 1;
            }
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_takes_the_stack_or_for_ever() {
        assert!(similar("a", &"(".repeat(20_000), "\\").is_err());
        assert!(!similar("b", "(((a{255}){255}){255}){255}", "\\").unwrap());
        assert!(similar(&"a".repeat(300), "((((a?){255}){255}){255}){255}", "\\").unwrap());
    }

    #[test]
    fn patterns_match_as_sql_says() {
        // As PostgreSQL 15 answers.
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "a", false),
            ("abc", "%(b|d)%", true),
            ("abc", "(b|c)%", false),
            ("aaa", "a{2,3}", true),
            ("aaaa", "a{2,3}", false),
            ("xyz", "[a-z]+", true),
            ("xYz", "[^A-Z]+", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("", "%", true),
            ("foobar", "foo_*", true),
        ] {
            assert_eq!(similar(text, pattern, "\\").unwrap(), expected, "{text} SIMILAR TO {pattern}");
        }
        assert!(similar("a", "(a", "\\").is_err());
        assert!(similar("a", "*a", "\\").is_err());
    }

    #[test]
    fn no_pattern_takes_forever() {
        assert!(!similar(&"a".repeat(60), "(a|aa)*(a|aa)*(a|aa)*b", "\\").unwrap());
    }
}
