//! A client's text, with the way from sqlparser's lines and columns back to it.

use std::sync::Arc;

use sqlparser::tokenizer::Location;
use types::{SqlError, SqlState};

/// A text and where its lines begin.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    text: Arc<str>,
    lines: Arc<[usize]>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Source {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { text: text.into(), lines }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The byte at a location; the end of the text for a location past it or an empty one.
    pub(crate) fn byte(&self, at: Location) -> usize {
        let line = (at.line as usize).checked_sub(1).and_then(|line| self.lines.get(line));
        let Some(&start) = line else { return self.text.len() };
        let column = (at.column as usize).saturating_sub(1);
        self.text[start..].char_indices().nth(column).map_or(self.text.len(), |(offset, _)| start + offset)
    }

    /// What PostgreSQL's `P` field says of a byte: characters from 1.
    pub(crate) fn position(&self, byte: usize) -> u32 {
        let before = &self.text[..byte.min(self.text.len())];
        u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX)
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
    }
}
