//! A client's text, with the way from sqlparser's lines and columns back to it.

use std::sync::Arc;

use sqlparser::tokenizer::Location;
use types::{SqlError, SqlState};

/// A text and places in it: where each line begins, and every so many characters of a longer one.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    text: Arc<str>,
    marks: Arc<[Mark]>,
}

/// A place in a text, each from 0.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    byte: usize,
    character: usize,
    line: usize,
    column: usize,
}

/// Characters between marks, at most: what a look-up walks.
const MARK_EVERY: usize = 256;

impl Source {
    pub(crate) fn new(text: &str) -> Source {
        let mut at = Mark::default();
        let mut marks = vec![at];
        for c in text.chars() {
            at.byte += c.len_utf8();
            at.character += 1;
            at.column += 1;
            if c == '\n' {
                at.line += 1;
                at.column = 0;
            }
            if at.column % MARK_EVERY == 0 {
                marks.push(at);
            }
        }
        Source { text: text.into(), marks: marks.into() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The byte at a location; the end of the text for a location past it or an empty one.
    pub(crate) fn byte(&self, at: Location) -> usize {
        let Some(line) = (at.line as usize).checked_sub(1) else { return self.text.len() };
        let column = (at.column as usize).saturating_sub(1);
        let Some(mark) = self.mark(|mark| (mark.line, mark.column) <= (line, column)).filter(|mark| mark.line == line) else {
            return self.text.len();
        };
        let mut rest = self.text[mark.byte..].char_indices();
        rest.nth(column - mark.column).map_or(self.text.len(), |(offset, _)| mark.byte + offset)
    }

    /// The last mark that is not behind a place.
    fn mark(&self, is_before: impl Fn(&Mark) -> bool) -> Option<&Mark> {
        self.marks[..self.marks.partition_point(is_before)].last()
    }

    /// What PostgreSQL's `P` field says of a byte: characters from 1.
    pub(crate) fn position(&self, byte: usize) -> u32 {
        let byte = byte.min(self.text.len());
        let Some(mark) = self.mark(|mark| mark.byte <= byte) else { return 1 };
        let character = mark.character + self.text[mark.byte..byte].chars().count();
        u32::try_from(character + 1).unwrap_or(u32::MAX)
    }

    /// `P` of a location; `None` for an empty one.
    pub(crate) fn position_of(&self, at: Location) -> Option<u32> {
        (at.line > 0).then(|| self.position(self.byte(at)))
    }

    /// PostgreSQL's error for a token that does not fit: `near` is its text, empty at the end of the input.
    pub(crate) fn syntax_error(&self, byte: usize, near: &str) -> SqlError {
        let message = match near {
            "" => "syntax error at end of input".to_owned(),
            near => format!("syntax error at or near \"{near}\""),
        };
        SqlError::new(SqlState::SYNTAX_ERROR, message).position(self.position(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_characters_and_lines() {
        let source = Source::new("sélect 1,\n  x");
        assert_eq!(source.byte(Location { line: 1, column: 8 }), 8, "é is two bytes");
        assert_eq!(source.position_of(Location { line: 1, column: 8 }), Some(8));
        assert_eq!(source.position_of(Location { line: 2, column: 3 }), Some(13));
        assert_eq!(source.position_of(Location { line: 0, column: 0 }), None);
        assert_eq!(source.byte(Location { line: 9, column: 1 }), source.text().len());
        assert_eq!(source.byte(Location { line: 0, column: 0 }), source.text().len());
    }

    #[test]
    fn every_place_of_a_long_text_is_found() {
        let text = ["é".repeat(3 * MARK_EVERY).as_str(), "", "x".repeat(MARK_EVERY).as_str(), "last"].join("\n");
        let source = Source::new(&text);
        let (mut line, mut column) = (1, 1);
        for (character, (byte, c)) in text.char_indices().enumerate() {
            let at = Location { line, column };
            assert_eq!((source.byte(at), source.position_of(at)), (byte, Some(character as u32 + 1)), "{at:?}");
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
    }
}
