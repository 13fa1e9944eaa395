//! DECLARE, FETCH, MOVE, CLOSE: the grammar of cursors.

use sqlparser::tokenizer::Token;
use types::{SqlError, SqlState};

use crate::parse::command::{Command, Declare, Direction, Fetch};
use crate::parse::cursor::Cursor;
use crate::parse::statement;

/// `DECLARE name [BINARY] [INSENSITIVE | ASENSITIVE] [NO SCROLL] CURSOR [WITHOUT HOLD] FOR query`
pub(super) fn declare(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    cursor.expect(&["declare"])?;
    let name = cursor.ident()?;
    let (mut binary, mut scroll, mut no_scroll) = (false, false, false);
    loop {
        if cursor.take(&["binary"]) {
            binary = true;
        } else if cursor.take(&["scroll"]) {
            scroll = true;
        } else if cursor.take(&["no", "scroll"]) {
            no_scroll = true;
        // A cursor here is insensitive in any case: PostgreSQL's is too.
        } else if cursor.take_any(&["insensitive", "asensitive"]).is_none() {
            break;
        }
    }
    cursor.expect(&["cursor"])?;
    if scroll && no_scroll {
        return Err(SqlError::new(SqlState::INVALID_CURSOR_DEFINITION, "cannot specify both SCROLL and NO SCROLL"));
    }
    if scroll {
        return Err(SqlError::unsupported("SCROLL cursors are not supported").hint("Cursors go forward only."));
    }
    if cursor.take(&["with"]) {
        cursor.expect(&["hold"])?;
        return Err(SqlError::unsupported("cursors WITH HOLD are not supported").hint("A cursor ends with its transaction."));
    }
    if cursor.take(&["without"]) {
        cursor.expect(&["hold"])?;
    }
    cursor.expect(&["for"])?;
    let unexpected = cursor.unexpected();
    let statement = statement::nested(cursor)?;
    match statement.command() {
        Command::Query(_) => Ok(Command::Declare(Declare { name, binary, statement: Box::new(statement) })),
        Command::CreateTableAs(_) => {
            Err(SqlError::new(SqlState::INVALID_CURSOR_DEFINITION, "cannot open SELECT INTO query as cursor"))
        }
        _ => Err(unexpected),
    }
}

/// FETCH and MOVE: `[direction] [FROM | IN] name`.
pub(super) fn fetch(cursor: &mut Cursor<'_>) -> Result<Command, SqlError> {
    let moves = cursor.take_any(&["fetch", "move"]) == Some("move");
    // Every word of a direction is a name, too: it is one where nothing follows.
    let direction =
        if cursor.token_at(1) == &Token::EOF || cursor.token_at(1) == &Token::SemiColon { None } else { direction(cursor)? };
    cursor.take_any(&["from", "in"]);
    let name = cursor.ident()?;
    Ok(Command::Fetch(Fetch { name, direction: direction.unwrap_or(Direction::Forward(1)), moves }))
}

fn direction(cursor: &mut Cursor<'_>) -> Result<Option<Direction>, SqlError> {
    if let Some(rows) = count(cursor)? {
        return Ok(Some(Direction::Forward(rows)));
    }
    let Some(word) = cursor.take_any(&["next", "prior", "first", "last", "absolute", "relative", "all", "forward", "backward"])
    else {
        return Ok(None);
    };
    Ok(Some(match word {
        "next" => Direction::Forward(1),
        "prior" => Direction::Forward(-1),
        "first" => Direction::Absolute(1),
        "last" => Direction::Absolute(-1),
        "absolute" => Direction::Absolute(count(cursor)?.ok_or_else(|| cursor.unexpected())?),
        "relative" => Direction::Relative(count(cursor)?.ok_or_else(|| cursor.unexpected())?),
        "all" => Direction::All,
        "forward" if cursor.take(&["all"]) => Direction::All,
        "forward" => Direction::Forward(count(cursor)?.unwrap_or(1)),
        _ if cursor.take(&["all"]) => Direction::BackwardAll,
        _ => Direction::Forward(-count(cursor)?.unwrap_or(1)),
    }))
}

/// A number with its sign, if one comes next.
fn count(cursor: &mut Cursor<'_>) -> Result<Option<i64>, SqlError> {
    let signed = matches!(cursor.peek_token(), Token::Minus | Token::Plus);
    let negative = *cursor.peek_token() == Token::Minus;
    let Token::Number(digits, _) = cursor.token_at(usize::from(signed)) else { return Ok(None) };
    let rows = digits.parse::<i32>().map_err(|_| cursor.unexpected())?;
    if signed {
        cursor.next();
    }
    cursor.next();
    Ok(Some(if negative { -i64::from(rows) } else { rows.into() }))
}

#[cfg(test)]
mod tests {
    use types::SqlState;

    use super::*;
    use crate::parse::parse;

    fn one(text: &str) -> Result<Command, SqlError> {
        parse(text).map(|mut statements| statements.remove(0).command().clone())
    }

    #[test]
    fn directions_in_all_their_spellings() {
        let cases = [
            ("fetch c", Direction::Forward(1)),
            ("fetch next from c", Direction::Forward(1)),
            ("fetch from c", Direction::Forward(1)),
            ("fetch in c", Direction::Forward(1)),
            ("fetch 5 c", Direction::Forward(5)),
            ("fetch -5 from c", Direction::Forward(-5)),
            ("fetch +5 in c", Direction::Forward(5)),
            ("fetch all c", Direction::All),
            ("fetch forward c", Direction::Forward(1)),
            ("fetch forward 100 from \"c\"", Direction::Forward(100)),
            ("fetch forward all in c", Direction::All),
            ("fetch backward c", Direction::Forward(-1)),
            ("fetch backward 3 from c", Direction::Forward(-3)),
            ("fetch backward all from c", Direction::BackwardAll),
            ("fetch prior from c", Direction::Forward(-1)),
            ("fetch first from c", Direction::Absolute(1)),
            ("fetch last from c", Direction::Absolute(-1)),
            ("fetch absolute 7 from c", Direction::Absolute(7)),
            ("fetch relative -2 from c", Direction::Relative(-2)),
        ];
        for (text, expected) in cases {
            for (text, moves) in [(text.to_owned(), false), (text.replacen("fetch", "move", 1), true)] {
                let Command::Fetch(fetch) = one(&text).unwrap() else { panic!("{text}") };
                assert_eq!((fetch.name.as_str(), fetch.direction, fetch.moves), ("c", expected, moves), "{text}");
            }
        }
        for (text, name) in [("fetch next", "next"), ("fetch absolute;", "absolute"), ("move forward", "forward")] {
            let Command::Fetch(fetch) = one(text).unwrap() else { panic!("{text}") };
            assert_eq!((fetch.name.as_str(), fetch.direction), (name, Direction::Forward(1)), "{text}");
        }
        for text in [
            "fetch",
            "fetch all;",
            "fetch all all",
            "fetch absolute c",
            "fetch 5",
            "fetch forward 99999999999 from c",
            "fetch c d",
        ] {
            assert_eq!(one(text).unwrap_err().state, SqlState::SYNTAX_ERROR, "{text}");
        }
    }

    #[test]
    fn cursors_are_declared_for_queries() {
        let Command::Declare(declare) = one("declare c binary no scroll cursor without hold for select 1 + 1").unwrap() else {
            panic!()
        };
        assert_eq!((declare.name.as_str(), declare.binary, declare.statement.text()), ("c", true, "select 1 + 1"));
        assert!(one("declare \"C d\" insensitive cursor for values (1)").is_ok());
        for text in ["declare c scroll cursor for select 1", "declare c cursor with hold for select 1"] {
            assert_eq!(one(text).unwrap_err().state, SqlState::FEATURE_NOT_SUPPORTED, "{text}");
        }
        for text in ["declare c cursor for update t set a = 1", "declare c cursor select 1", "declare cursor for select 1"] {
            assert_eq!(one(text).unwrap_err().state, SqlState::SYNTAX_ERROR, "{text}");
        }
    }
}
