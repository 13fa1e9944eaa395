//! Decoders and encoders against each other and against lines PostgreSQL 15 reads or writes.

use types::{DatumRef, SqlError, SqlType};

use crate::copy::decode::{Input, Record};
use crate::copy::encode::Encoder;
use crate::copy::options::Options;
use crate::format::FormatOptions;
use crate::parse::{Command, CopyDirection, parse};

fn options(rest: &str) -> Options {
    let statements = parse(&format!("copy t {rest}")).unwrap();
    let Command::Copy(copy) = statements[0].command() else { panic!("{rest}") };
    Options::of(&copy.options, copy.direction == CopyDirection::FromStdin).unwrap()
}

/// Every field of every record, the stream cut into pieces of `step` bytes.
fn decode(options: &Options, data: &[u8], step: usize) -> Result<Vec<Vec<Option<String>>>, SqlError> {
    let mut input = Input::new(options);
    let mut record = Record::default();
    let mut rows = Vec::new();
    let mut pull = |input: &mut Input, last| -> Result<(), SqlError> {
        while input.next(last, &mut record)? {
            let text = |f: &std::ops::Range<usize>| String::from_utf8(record.value(f).to_vec()).unwrap();
            rows.push(record.fields.iter().map(|f| f.as_ref().map(text)).collect());
        }
        Ok(())
    };
    for piece in data.chunks(step) {
        input.push(piece);
        pull(&mut input, false)?;
    }
    pull(&mut input, true)?;
    Ok(rows)
}

fn row(fields: &[Option<&str>]) -> Vec<Option<String>> {
    fields.iter().map(|f| f.map(str::to_owned)).collect()
}

#[test]
fn text_is_read_however_it_is_cut() {
    let data = b"1\tplain\t\\N\n2\ttab\\there\\\\\t\\x41\\102\\q\n3\tline\\\nend\t\n\\.\nignored\n";
    for step in 1..=data.len() {
        let rows = decode(&options("from stdin"), data, step).unwrap();
        assert_eq!(
            rows,
            [
                row(&[Some("1"), Some("plain"), None]),
                row(&[Some("2"), Some("tab\there\\"), Some("ABq")]),
                row(&[Some("3"), Some("line\nend"), Some("")]),
            ],
            "cut at {step}"
        );
    }
}

#[test]
fn lines_may_end_with_carriage_returns_but_not_in_two_ways() {
    for data in [&b"1\t2\r\n3\t4\r\n"[..], b"1\t2\r3\t4\r", b"1\t2\n3\t4"] {
        for step in 1..=data.len() {
            let rows = decode(&options("from stdin"), data, step).unwrap();
            assert_eq!(rows, [row(&[Some("1"), Some("2")]), row(&[Some("3"), Some("4")])]);
            let csv = options("from stdin (format csv, delimiter E'\\t')");
            assert_eq!(decode(&csv, data, step).unwrap(), rows);
        }
    }
    assert_eq!(decode(&options("from stdin"), b"1\n2\r3\n", 3).unwrap_err().message, "literal carriage return found in data");
    let csv = options("from stdin csv");
    assert_eq!(decode(&csv, b"1\r\n2\n", 9).unwrap_err().message, "unquoted newline found in data");
}

#[test]
fn csv_quotes_nulls_and_newlines() {
    let data = b"1,plain,\n\"2\",\"a,\"\"b\"\"\nc\",\"\"\n3,x\"y,z\"w,4\n\\.\nmore";
    for step in 1..=data.len() {
        let rows = decode(&options("from stdin csv"), data, step).unwrap();
        assert_eq!(
            rows,
            [
                row(&[Some("1"), Some("plain"), None]),
                row(&[Some("2"), Some("a,\"b\"\nc"), Some("")]),
                row(&[Some("3"), Some("xy,zw"), Some("4")]),
            ],
            "cut at {step}"
        );
    }
    let escaped = options("from stdin (format csv, escape '\\')");
    assert_eq!(decode(&escaped, b"\"a\\\"b\\\\\"\n", 1).unwrap(), [row(&[Some("a\"b\\")])]);
    assert_eq!(decode(&options("from stdin csv"), b"\"a\n", 1).unwrap_err().message, "unterminated CSV quoted field");
}

fn encode(options: Options, columns: &[(String, SqlType)], rows: &[Vec<DatumRef<'_>>]) -> Vec<u8> {
    let mut encoder = Encoder::new(options, FormatOptions::default(), columns);
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for row in rows {
        encoder.row(|at| row[at], &mut out);
    }
    encoder.end(&mut out);
    out
}

#[test]
fn what_is_written_is_what_postgresql_writes() {
    let columns = [("a".to_owned(), SqlType::Int4), ("b,c".to_owned(), SqlType::Text)];
    let rows = [
        vec![DatumRef::Int4(1), DatumRef::Text("tab\t and \\ and\nnewline")],
        vec![DatumRef::Null, DatumRef::Text("")],
        vec![DatumRef::Int4(2), DatumRef::Text("quo\"te, comma")],
    ];
    let text = |rest: &str| String::from_utf8(encode(options(rest), &columns, &rows)).unwrap();
    assert_eq!(text("to stdout"), "1\ttab\\t and \\\\ and\\nnewline\n\\N\t\n2\tquo\"te, comma\n");
    assert_eq!(
        text("to stdout (format csv, header)"),
        "a,\"b,c\"\n1,\"tab\t and \\ and\nnewline\"\n,\"\"\n2,\"quo\"\"te, comma\"\n"
    );
    assert_eq!(
        text("to stdout (format csv, force_quote (a), null 'NULL')"),
        "\"1\",\"tab\t and \\ and\nnewline\"\nNULL,\n\"2\",\"quo\"\"te, comma\"\n"
    );
}

#[test]
fn binary_is_read_as_it_is_written() {
    let columns = [("a".to_owned(), SqlType::Int4), ("b".to_owned(), SqlType::Text)];
    let rows = [vec![DatumRef::Int4(7), DatumRef::Text("x")], vec![DatumRef::Null, DatumRef::Text("")]];
    let data = encode(options("to stdout (format binary)"), &columns, &rows);
    let read = options("from stdin (format binary)");
    for step in 1..=data.len() {
        let decoded = decode(&read, &data, step).unwrap();
        assert_eq!(decoded, [row(&[Some("\0\0\0\x07"), Some("x")]), row(&[None, Some("")])]);
    }
    for cut in 1..data.len() - 2 {
        let result = decode(&read, &data[..cut], 5);
        assert!(result.is_err() || result.unwrap().len() < 2, "cut at {cut}");
    }
    assert_eq!(decode(&read, b"PGCOPZ", 6).unwrap_err().message, "COPY file signature not recognized");
}
