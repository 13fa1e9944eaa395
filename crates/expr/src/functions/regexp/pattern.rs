//! PostgreSQL's regular expressions, and their options, as the `regex` crate writes them.
//!
//! ```text
//! \m \M   [[:<:]] [[:>:]]     \b{start} \b{end}          \A \Z       \A \z
//! \y \Y                       \b \B                      \b \B       backspace, backslash
//! \d \s \w, and capitals      ASCII's, as in locale C    [a&&b]      what && is in brackets is escaped
//! (?i) ***: ***= at the start options                    (?#..)      nothing
//! ```
//!
//! What only `regex` knows (named groups, options in the middle, `a**`) is refused, as PostgreSQL does.
//! Source: PostgreSQL 15, "POSIX Regular Expressions", `regc_lex.c`.

use std::iter::Peekable;
use std::str::Chars;

use types::{SqlError, SqlState};

/// Repetitions PostgreSQL can count to.
const REPETITIONS_MAX: u32 = 255;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Syntax {
    Advanced,
    /// POSIX's: a backslash only makes what follows it itself.
    Extended,
    Plain,
}

/// What the flags say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) all: bool,
    pub(super) ignore_case: bool,
    /// Whether dots and `[^..]` match new lines.
    pub(super) dot_all: bool,
    /// Whether `^` and `$` match at new lines.
    pub(super) lines: bool,
    extended: bool,
    syntax: Syntax,
}

impl Options {
    /// Errors: 22023, 0A000 for basic expressions.
    pub(super) fn of(flags: &str) -> Result<Options, SqlError> {
        let mut options =
            Options { all: false, ignore_case: false, dot_all: true, lines: false, extended: false, syntax: Syntax::Advanced };
        for flag in flags.chars() {
            match flag {
                'g' => options.all = true,
                flag if options.set(flag)? => {}
                other => {
                    let message = format!("invalid regular expression option: \"{other}\"");
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            }
        }
        Ok(options)
    }

    /// False if there is no such flag.
    fn set(&mut self, flag: char) -> Result<bool, SqlError> {
        match flag {
            'b' => return Err(SqlError::unsupported("basic regular expressions are not supported")),
            'c' => self.ignore_case = false,
            'e' => self.syntax = Syntax::Extended,
            'i' => self.ignore_case = true,
            'm' | 'n' => (self.dot_all, self.lines) = (false, true),
            'p' => (self.dot_all, self.lines) = (false, false),
            'q' => self.syntax = Syntax::Plain,
            's' => (self.dot_all, self.lines) = (true, false),
            't' => self.extended = false,
            'w' => (self.dot_all, self.lines) = (true, true),
            'x' => self.extended = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

pub(super) fn invalid(why: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {why}"))
}

fn escape_invalid() -> SqlError {
    invalid("invalid escape \\ sequence")
}

/// The pattern for `regex`; its own options go to `options`. Errors: 2201B.
pub(super) fn translate(pattern: &str, options: &mut Options) -> Result<String, SqlError> {
    let mut rest = pattern;
    if options.syntax != Syntax::Plain {
        if let Some(after) = rest.strip_prefix("***=") {
            (rest, options.syntax) = (after, Syntax::Plain);
        } else if let Some(after) = rest.strip_prefix("***:") {
            (rest, options.syntax) = (after, Syntax::Advanced);
        }
    }
    if options.syntax == Syntax::Advanced
        && let Some(after) = rest.strip_prefix("(?").filter(|after| after.starts_with(|c: char| c.is_ascii_alphabetic()))
    {
        let option_invalid = || invalid("invalid embedded option");
        let (letters, after) = after.split_once(')').ok_or_else(option_invalid)?;
        for letter in letters.chars() {
            if !options.set(letter)? {
                return Err(option_invalid());
            }
        }
        rest = after;
    }
    if options.syntax == Syntax::Plain {
        return Ok(regex::escape(rest));
    }
    let mut translation = Translation { options, rest: rest.chars().peekable(), before: Before::Nothing, out: String::new() };
    translation.run()?;
    Ok(translation.out)
}

/// What a quantifier would stand behind.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// A group's beginning, or what matches no characters.
    Nothing,
    Atom,
    Quantifier,
}

struct Translation<'a> {
    options: &'a Options,
    rest: Peekable<Chars<'a>>,
    before: Before,
    out: String,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), SqlError> {
        while let Some(c) = self.rest.next() {
            match c {
                ' ' | '\t'..='\r' if self.options.extended => {}
                '#' if self.options.extended => while self.rest.next().is_some_and(|c| c != '\n') {},
                '\\' => self.escaped()?,
                '[' => self.bracket()?,
                '(' => self.group()?,
                ')' => self.put(")", Before::Atom),
                '|' => self.put("|", Before::Nothing),
                '^' => self.put("^", Before::Nothing),
                '$' => self.put("$", Before::Nothing),
                '.' => self.put(".", Before::Atom),
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' if self.rest.peek().is_some_and(char::is_ascii_digit) => {
                    let counts = self.counts()?;
                    self.quantifier(&counts)?;
                }
                c => self.literal(c),
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &str, before: Before) {
        self.out.push_str(text);
        self.before = before;
    }

    fn literal(&mut self, c: char) {
        self.put(&regex::escape(c.encode_utf8(&mut [0; 4])), Before::Atom);
    }

    fn is_advanced(&self) -> bool {
        self.options.syntax == Syntax::Advanced
    }

    fn quantifier(&mut self, text: &str) -> Result<(), SqlError> {
        if self.before != Before::Atom {
            return Err(invalid("quantifier operand invalid"));
        }
        self.put(text, Before::Quantifier);
        if self.is_advanced() && self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        Ok(())
    }

    /// Behind `{`.
    fn counts(&mut self) -> Result<String, SqlError> {
        let wrong = || invalid("invalid repetition count(s)");
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != '}') {
            text.push(c);
        }
        self.rest.next().ok_or_else(|| invalid("braces {} not balanced"))?;
        let (least, most) = text.split_once(',').map_or((text.as_str(), None), |(least, most)| (least, Some(most)));
        let number = |text: &str| match text.parse::<u32>() {
            Ok(n) if n <= REPETITIONS_MAX && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => Err(wrong()),
        };
        let least = number(least)?;
        if let Some(most) = most.filter(|most| !most.is_empty())
            && number(most)? < least
        {
            return Err(wrong());
        }
        Ok(format!("{{{text}}}"))
    }

    /// Behind `(`.
    fn group(&mut self) -> Result<(), SqlError> {
        if !self.is_advanced() || self.rest.next_if_eq(&'?').is_none() {
            self.put("(", Before::Nothing);
            return Ok(());
        }
        match self.rest.next() {
            Some(':') => self.put("(?:", Before::Nothing),
            Some('#') => while self.rest.next().is_some_and(|c| c != ')') {},
            Some('=' | '!' | '<') => {
                return Err(SqlError::unsupported("look-ahead and look-behind in regular expressions are not supported"));
            }
            _ => return Err(invalid("quantifier operand invalid")),
        }
        Ok(())
    }

    /// Behind a backslash.
    fn escaped(&mut self) -> Result<(), SqlError> {
        let c = self.rest.next().ok_or_else(escape_invalid)?;
        match c {
            c if !self.is_advanced() => self.literal(c),
            'A' => self.put(r"\A", Before::Nothing),
            'Z' => self.put(r"\z", Before::Nothing),
            'm' => self.put(WORD_START, Before::Nothing),
            'M' => self.put(WORD_END, Before::Nothing),
            'y' => self.put(r"(?-u:\b)", Before::Nothing),
            'Y' => self.put(r"(?-u:\B)", Before::Nothing),
            '0'..='9' => return Err(SqlError::unsupported("back references in regular expressions are not supported")),
            c => match class(c) {
                Some((characters, false)) => self.put(&format!("[{characters}]"), Before::Atom),
                Some((characters, true)) => self.put(&format!("[^{characters}]"), Before::Atom),
                None => {
                    let c = self.character(c)?;
                    self.literal(c);
                }
            },
        }
        Ok(())
    }

    /// The character that an escape of one means.
    fn character(&mut self, c: char) -> Result<char, SqlError> {
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'c' => char::from(self.rest.next().ok_or_else(escape_invalid)? as u8 & 31),
            'x' => self.hexadecimal(1, u32::BITS as usize)?,
            'u' => self.hexadecimal(4, 4)?,
            'U' => self.hexadecimal(8, 8)?,
            c if c.is_ascii_alphanumeric() => return Err(escape_invalid()),
            c => c,
        })
    }

    fn hexadecimal(&mut self, least: usize, most: usize) -> Result<char, SqlError> {
        let mut code = 0_u32;
        let mut digits = 0;
        while digits < most
            && let Some(c) = self.rest.next_if(char::is_ascii_hexdigit)
        {
            code = code.checked_mul(16).ok_or_else(escape_invalid)? | c.to_digit(16).unwrap_or_default();
            digits += 1;
        }
        char::from_u32(code).filter(|_| digits >= least).ok_or_else(escape_invalid)
    }

    /// Behind `[`.
    fn bracket(&mut self) -> Result<(), SqlError> {
        for (word, meaning) in [("[:<:]]", WORD_START), ("[:>:]]", WORD_END)] {
            let mut ahead = self.rest.clone();
            if word.chars().all(|c| ahead.next() == Some(c)) {
                self.rest = ahead;
                self.put(meaning, Before::Nothing);
                return Ok(());
            }
        }
        self.put("[", Before::Atom);
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push_str(if self.options.dot_all { "^" } else { r"^\n" });
        }
        let mut is_first = true;
        loop {
            if !is_first && self.rest.next_if_eq(&']').is_some() {
                self.out.push(']');
                return Ok(());
            }
            is_first = false;
            let Some(from) = self.item()? else { continue };
            self.out.push_str(&in_brackets(from));
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.rest.next();
                let to = self.item()?.filter(|to| *to >= from).ok_or_else(|| invalid("invalid character range"))?;
                self.out.push('-');
                self.out.push_str(&in_brackets(to));
            }
        }
    }

    /// A character in brackets. `None`: it was a class, which is written.
    fn item(&mut self) -> Result<Option<char>, SqlError> {
        let unbalanced = || invalid("brackets [] not balanced");
        let c = self.rest.next().ok_or_else(unbalanced)?;
        match c {
            '\\' if self.is_advanced() => {
                let c = self.rest.next().ok_or_else(escape_invalid)?;
                match class(c) {
                    Some((characters, false)) => self.out.push_str(characters),
                    Some((characters, true)) => self.out.push_str(&format!("[^{characters}]")),
                    None => return self.character(c).map(Some),
                }
                Ok(None)
            }
            '[' => {
                let Some(kind) = self.rest.next_if(|c| matches!(c, ':' | '.' | '=')) else { return Ok(Some('[')) };
                let mut name = String::new();
                loop {
                    match self.rest.next().ok_or_else(unbalanced)? {
                        c if c == kind && self.rest.next_if_eq(&']').is_some() => break,
                        c => name.push(c),
                    }
                }
                let mut characters = name.chars();
                match (kind, characters.next(), characters.next()) {
                    (':', ..) if CLASSES.contains(&name.as_str()) => {
                        self.out.push_str(&format!("[:{name}:]"));
                        Ok(None)
                    }
                    (':', ..) => Err(invalid("invalid character class")),
                    (_, Some(one), None) => Ok(Some(one)),
                    _ => Err(invalid("invalid collating element")),
                }
            }
            c => Ok(Some(c)),
        }
    }
}

const WORD_START: &str = r"(?-u:\b{start})";
const WORD_END: &str = r"(?-u:\b{end})";

const CLASSES: [&str; 13] =
    ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// The characters of `\d`, `\s`, `\w`, or those it is not of.
fn class(letter: char) -> Option<(&'static str, bool)> {
    let characters = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        's' => r"\t-\r ",
        'w' => "0-9A-Za-z_",
        _ => return None,
    };
    Some((characters, letter.is_ascii_uppercase()))
}

fn in_brackets(c: char) -> String {
    if c.is_ascii_alphanumeric() { c.into() } else { format!(r"\x{{{:x}}}", u32::from(c)) }
}
