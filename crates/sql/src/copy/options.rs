//! What COPY's options mean together.

use types::{SqlError, SqlState};

use crate::parse::{CopyOption, CopyValue};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Csv,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    No,
    /// A line of names: written, or skipped.
    Yes,
    /// A line that must have the columns' names.
    Match,
}

/// Some of the columns that are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    All,
    These(Vec<String>),
}

impl Columns {
    const NONE: Columns = Columns::These(Vec::new());

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::These(names) => names.iter().any(|n| n == name),
        }
    }
}

/// COPY's options, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) format: Format,
    pub(crate) header: Header,
    pub(crate) delimiter: u8,
    pub(crate) null: Vec<u8>,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) force_quote: Columns,
    pub(crate) force_not_null: Columns,
    pub(crate) force_null: Columns,
}

/// What was written, before defaults.
#[derive(Default)]
struct Written {
    format: Option<Format>,
    header: Option<Header>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Columns>,
    force_not_null: Option<Columns>,
    force_null: Option<Columns>,
    freeze: Option<bool>,
    encoding: Option<()>,
}

impl Options {
    /// The meaning of options; `from` for COPY FROM. Errors as PostgreSQL's.
    pub(crate) fn of(options: &[CopyOption], from: bool) -> Result<Options, SqlError> {
        let mut written = Written::default();
        for option in options {
            read(option, from, &mut written)?;
        }
        check(written, from)
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), SqlError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options")),
    }
}

fn read(option: &CopyOption, from: bool, written: &mut Written) -> Result<(), SqlError> {
    let name = option.name.as_str();
    let text = || match &option.value {
        CopyValue::Text(text) => Ok(text.clone()),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a parameter"))),
    };
    let columns = || match &option.value {
        CopyValue::Star if name == "force_quote" => Ok(Columns::All),
        CopyValue::Columns(names) => Ok(Columns::These(names.clone())),
        _ => Err(invalid(format!("argument to option \"{name}\" must be a list of column names"))),
    };
    let flag = || match &option.value {
        CopyValue::Nothing => Ok(true),
        CopyValue::Text(text) => crate::settings::value::boolean(text)
            .ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    };
    match name {
        "format" => {
            let format = match text()?.as_str() {
                "text" => Format::Text,
                "csv" => Format::Csv,
                "binary" => Format::Binary,
                other => return Err(invalid(format!("COPY format \"{other}\" not recognized"))),
            };
            once(&mut written.format, format)
        }
        // What is loaded in bulk is frozen from the start.
        "freeze" => once(&mut written.freeze, flag()?),
        "delimiter" => once(&mut written.delimiter, text()?),
        "null" => once(&mut written.null, text()?),
        "header" => {
            let is_match = matches!(&option.value, CopyValue::Text(text) if text.eq_ignore_ascii_case("match"));
            let header = if is_match && !from {
                return Err(invalid("cannot use \"match\" with HEADER in COPY TO"));
            } else if is_match {
                Header::Match
            } else {
                let on =
                    flag().map_err(|_| SqlError::new(SqlState::SYNTAX_ERROR, "header requires a Boolean value or \"match\""))?;
                if on { Header::Yes } else { Header::No }
            };
            once(&mut written.header, header)
        }
        "quote" => once(&mut written.quote, text()?),
        "escape" => once(&mut written.escape, text()?),
        "force_quote" => once(&mut written.force_quote, columns()?),
        "force_not_null" => once(&mut written.force_not_null, columns()?),
        "force_null" => once(&mut written.force_null, columns()?),
        "encoding" => {
            let encoding = text()?;
            crate::settings::active::client_encoding(&encoding).map_err(|_| {
                invalid("argument to option \"encoding\" must be a valid encoding name".to_string())
                    .hint("Only UTF8 is supported.")
            })?;
            once(&mut written.encoding, ())
        }
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("option \"{name}\" not recognized"))),
    }
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn check(written: Written, from: bool) -> Result<Options, SqlError> {
    let format = written.format.unwrap_or(Format::Text);
    let csv = format == Format::Csv;
    if format == Format::Binary {
        for (given, name) in [(written.delimiter.is_some(), "DELIMITER"), (written.null.is_some(), "NULL")] {
            if given {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("cannot specify {name} in BINARY mode")));
            }
        }
        if written.header.is_some_and(|h| h != Header::No) {
            return Err(SqlError::unsupported("cannot specify HEADER in BINARY mode"));
        }
    }
    let delimiter = written.delimiter.unwrap_or_else(|| if csv { ",".into() } else { "\t".into() });
    let null = written.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".into() });
    let &[delimiter] = delimiter.as_bytes() else {
        return Err(SqlError::unsupported("COPY delimiter must be a single one-byte character"));
    };
    if matches!(delimiter, b'\r' | b'\n') {
        return Err(invalid("COPY delimiter cannot be newline or carriage return"));
    }
    if null.contains(['\r', '\n']) {
        return Err(invalid("COPY null representation cannot use newline or carriage return"));
    }
    if !csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
        return Err(invalid(format!("COPY delimiter cannot be \"{}\"", delimiter as char)));
    }
    for (given, what) in [(written.quote.is_some(), "quote"), (written.escape.is_some(), "escape")] {
        if given && !csv {
            return Err(SqlError::unsupported(format!("COPY {what} available only in CSV mode")));
        }
    }
    let one_byte = |text: Option<String>, default: u8, what: &str| match text.as_deref().map(str::as_bytes) {
        None => Ok(default),
        Some(&[byte]) => Ok(byte),
        Some(_) => Err(SqlError::unsupported(format!("COPY {what} must be a single one-byte character"))),
    };
    let quote = one_byte(written.quote, b'"', "quote")?;
    if csv && delimiter == quote {
        return Err(invalid("COPY delimiter and quote must be different"));
    }
    let escape = one_byte(written.escape, quote, "escape")?;
    for (columns, what, only_from) in
        [(&written.force_quote, "quote", false), (&written.force_not_null, "not null", true), (&written.force_null, "null", true)]
    {
        if columns.is_some() && !csv {
            return Err(SqlError::unsupported(format!("COPY force {what} available only in CSV mode")));
        }
        if columns.is_some() && only_from != from {
            let direction = if only_from { "FROM" } else { "TO" };
            return Err(SqlError::unsupported(format!("COPY force {what} only available using COPY {direction}")));
        }
    }
    if null.as_bytes().contains(&delimiter) {
        return Err(SqlError::unsupported("COPY delimiter must not appear in the NULL specification"));
    }
    if csv && null.as_bytes().contains(&quote) {
        return Err(SqlError::unsupported("CSV quote character must not appear in the NULL specification"));
    }
    if written.freeze == Some(true) && !from {
        return Err(SqlError::unsupported("COPY freeze only available using COPY FROM"));
    }
    Ok(Options {
        format,
        header: written.header.unwrap_or(Header::No),
        delimiter,
        null: null.into_bytes(),
        quote,
        escape,
        force_quote: written.force_quote.unwrap_or(Columns::NONE),
        force_not_null: written.force_not_null.unwrap_or(Columns::NONE),
        force_null: written.force_null.unwrap_or(Columns::NONE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Command, CopyDirection, parse};

    fn options(text: &str) -> Result<Options, SqlError> {
        let statements = parse(text)?;
        let Command::Copy(copy) = statements[0].command() else { panic!("{text}") };
        Options::of(&copy.options, copy.direction == CopyDirection::FromStdin)
    }

    #[test]
    fn defaults_depend_on_the_format() {
        let text = options("copy t from stdin").unwrap();
        assert_eq!((text.delimiter, text.null.as_slice()), (b'\t', b"\\N".as_slice()));
        let csv = options("copy t from stdin (format csv, header, freeze on, force_null (a))").unwrap();
        assert_eq!((csv.delimiter, csv.null.as_slice(), csv.quote, csv.escape), (b',', b"".as_slice(), b'"', b'"'));
        assert_eq!(csv.header, Header::Yes);
        assert!(csv.force_null.has("a") && !csv.force_null.has("b"));
        let old = options("copy t to stdout with csv quote as '''' force quote *").unwrap();
        assert_eq!((old.quote, old.escape, old.force_quote), (b'\'', b'\'', Columns::All));
    }

    #[test]
    fn nonsense_is_refused_as_postgresql_does() {
        let message = |text: &str| {
            let error = options(text).unwrap_err();
            (error.state.as_str().to_owned(), error.message)
        };
        for (text, state, said) in [
            ("copy t from stdin (format xml)", "22023", "COPY format \"xml\" not recognized"),
            ("copy t from stdin (delimiter 'ab')", "0A000", "COPY delimiter must be a single one-byte character"),
            ("copy t from stdin (delimiter 'a')", "22023", "COPY delimiter cannot be \"a\""),
            ("copy t from stdin (quote '\"')", "0A000", "COPY quote available only in CSV mode"),
            ("copy t from stdin (format csv, quote ',')", "22023", "COPY delimiter and quote must be different"),
            ("copy t from stdin (format csv, force_quote *)", "0A000", "COPY force quote only available using COPY TO"),
            ("copy t to stdout (format csv, force_null (a))", "0A000", "COPY force null only available using COPY FROM"),
            ("copy t to stdout (header match)", "22023", "cannot use \"match\" with HEADER in COPY TO"),
            ("copy t from stdin (header maybe)", "42601", "header requires a Boolean value or \"match\""),
            ("copy t from stdin (format csv, format csv)", "42601", "conflicting or redundant options"),
            (
                "copy t from stdin (format csv, null '\"')",
                "0A000",
                "CSV quote character must not appear in the NULL specification",
            ),
            ("copy t from stdin (frobnicate)", "42601", "option \"frobnicate\" not recognized"),
            ("copy binary t from stdin null ''", "42601", "cannot specify NULL in BINARY mode"),
        ] {
            assert_eq!(message(text), (state.to_owned(), said.to_owned()), "{text}");
        }
    }
}
