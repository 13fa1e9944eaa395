//! The types of system relations, by oid: those of tables and those only the catalog has (`oid`, `name`, `"char"`, `regclass`, arrays).
//!
//! Source: `data/pg_type.tsv`, rows of PostgreSQL 15's own `pg_type`.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlparser::ast::{ArrayElemTypeDef, DataType, ObjectNamePart};
use types::{SqlError, SqlState, SqlType};

use super::data;

/// A type's oid.
pub(crate) type Kind = u32;

pub(crate) const BOOL: Kind = 16;
pub(crate) const CHAR: Kind = 18;
pub(crate) const NAME: Kind = 19;
pub(crate) const INT8: Kind = 20;
pub(crate) const INT2: Kind = 21;
pub(crate) const INT2VECTOR: Kind = 22;
pub(crate) const INT4: Kind = 23;
pub(crate) const REGPROC: Kind = 24;
pub(crate) const TEXT: Kind = 25;
pub(crate) const OID: Kind = 26;
pub(crate) const XID: Kind = 28;
pub(crate) const CID: Kind = 29;
pub(crate) const OIDVECTOR: Kind = 30;
pub(crate) const FLOAT4: Kind = 700;
pub(crate) const FLOAT8: Kind = 701;
pub(crate) const UNKNOWN: Kind = 705;
pub(crate) const INET: Kind = 869;
pub(crate) const BPCHAR: Kind = 1042;
pub(crate) const VARCHAR: Kind = 1043;
pub(crate) const DATE: Kind = 1082;
pub(crate) const TIMESTAMPTZ: Kind = 1184;
pub(crate) const INTERVAL: Kind = 1186;
pub(crate) const NUMERIC: Kind = 1700;
pub(crate) const REGPROCEDURE: Kind = 2202;
pub(crate) const REGOPER: Kind = 2203;
pub(crate) const REGOPERATOR: Kind = 2204;
pub(crate) const REGCLASS: Kind = 2205;
pub(crate) const REGTYPE: Kind = 2206;
pub(crate) const RECORD: Kind = 2249;
pub(crate) const VOID: Kind = 2278;
pub(crate) const REGNAMESPACE: Kind = 4089;
pub(crate) const REGROLE: Kind = 4096;
pub(crate) const XID8: Kind = 5069;

/// What is known of a type.
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) oid: Kind,
    pub(crate) name: &'static str,
    pub(crate) len: i64,
    pub(crate) by_value: bool,
    pub(crate) align: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) collation: i64,
    /// Of an array: the type of its elements, else 0.
    pub(crate) element: Kind,
    /// The type of arrays of it, or 0.
    pub(crate) array: Kind,
}

struct Types {
    by_oid: HashMap<Kind, Info>,
    by_name: HashMap<&'static str, Kind>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let table = data::table("pg_type").expect("pg_type is part of the program");
    let number = |row: &[Option<std::borrow::Cow<'static, str>>], column| {
        table.cell(row, column).and_then(|v| v.parse::<i64>().ok()).unwrap_or(0)
    };
    let oid = |row: &[Option<std::borrow::Cow<'static, str>>], column| Kind::try_from(number(row, column)).unwrap_or(0);
    let mut by_oid = HashMap::new();
    let mut by_name = HashMap::new();
    for line in table.lines() {
        let row = data::cells(line);
        let Some(name) = data::cells_raw(line).nth(1) else { continue };
        let len = number(&row, "typlen");
        let raw = |column| table.raw(line, column).unwrap_or_default();
        let info = Info {
            oid: oid(&row, "oid"),
            name,
            len,
            by_value: raw("typbyval") == "t",
            align: raw("typalign"),
            storage: raw("typstorage"),
            collation: number(&row, "typcollation"),
            element: if len == -1 || matches!(name, "int2vector" | "oidvector") { oid(&row, "typelem") } else { 0 },
            array: oid(&row, "typarray"),
        };
        by_name.insert(name, info.oid);
        by_oid.insert(info.oid, info);
    }
    Types { by_oid, by_name }
});

/// The type with an oid.
pub(crate) fn info(kind: Kind) -> Option<&'static Info> {
    TYPES.by_oid.get(&kind)
}

/// What RowDescription says of a type's length: bytes, -1 for what varies.
pub(crate) fn wire_len(kind: Kind) -> i16 {
    info(kind).and_then(|info| i16::try_from(info.len).ok()).unwrap_or(-1)
}

/// The type with a name of `pg_type`: `int4`, `_text`.
pub(crate) fn by_name(name: &str) -> Option<Kind> {
    TYPES.by_name.get(name).copied()
}

/// The type of an array's elements; `UNKNOWN` of what is no array.
pub(crate) fn element(kind: Kind) -> Kind {
    match info(kind) {
        Some(Info { element: 0, .. }) | None => UNKNOWN,
        Some(info) => info.element,
    }
}

pub(crate) fn is_array(kind: Kind) -> bool {
    element(kind) != UNKNOWN
}

/// The type of arrays of a type.
pub(crate) fn array_of(kind: Kind) -> Kind {
    match info(if kind == UNKNOWN { TEXT } else { kind }) {
        Some(Info { array: 0, .. }) | None => by_name("_text").unwrap_or(TEXT),
        Some(info) => info.array,
    }
}

pub(crate) fn is_string(kind: Kind) -> bool {
    matches!(kind, TEXT | NAME | CHAR | VARCHAR | BPCHAR | UNKNOWN)
}

/// Types whose values are integers: numbers and all that is an oid.
pub(crate) fn is_integer(kind: Kind) -> bool {
    matches!(kind, INT2 | INT4 | INT8 | OID | XID | CID | XID8) || is_reg(kind)
}

pub(crate) fn is_number(kind: Kind) -> bool {
    is_integer(kind) || matches!(kind, FLOAT4 | FLOAT8 | NUMERIC)
}

/// Oids that are shown as the name of what they stand for.
pub(crate) fn is_reg(kind: Kind) -> bool {
    matches!(kind, REGPROC | REGPROCEDURE | REGOPER | REGOPERATOR | REGCLASS | REGTYPE | REGNAMESPACE | REGROLE)
}

/// The type clients are told. Those they cannot be sent are text.
pub(crate) fn shown(kind: Kind) -> SqlType {
    match kind {
        OID | XID | CID | XID8 => SqlType::Int8,
        VOID => SqlType::Text,
        kind => SqlType::from_oid(kind).unwrap_or(SqlType::Text),
    }
}

/// The type a name in SQL stands for. Errors: 42704.
pub(crate) fn of_syntax(data_type: &DataType) -> Result<Kind, SqlError> {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) => Ok(array_of(of_syntax(inner)?)),
        DataType::Regclass => Ok(REGCLASS),
        DataType::Custom(name, _) => {
            let Some(ident) = name.0.last().and_then(ObjectNamePart::as_ident) else { return Err(undefined(&name.to_string())) };
            match (ident.value.as_str(), ident.quote_style.is_some()) {
                ("char", true) => Ok(CHAR),
                (word, _) => of_word(word).ok_or_else(|| undefined(&name.to_string())),
            }
        }
        other => {
            let text = other.to_string();
            of_name(&text).ok_or_else(|| undefined(&text))
        }
    }
}

/// The type a text names, as `'..'::regtype` reads it.
pub(crate) fn of_name(text: &str) -> Option<Kind> {
    let text = text.trim();
    if let Some(inner) = text.strip_suffix("[]") {
        return of_name(inner).map(array_of);
    }
    let plain = text.strip_prefix("pg_catalog.").or_else(|| text.strip_prefix("information_schema.")).unwrap_or(text);
    match plain {
        "\"char\"" => Some(CHAR),
        quoted if quoted.starts_with('"') => by_name(quoted.trim_matches('"')),
        word => of_word(&word.to_lowercase()),
    }
}

fn of_word(word: &str) -> Option<Kind> {
    Some(match word {
        "cardinal_number" => INT4,
        "character_data" | "yes_or_no" => VARCHAR,
        "sql_identifier" => NAME,
        "time_stamp" => TIMESTAMPTZ,
        "varchar" | "character varying" => VARCHAR,
        "decimal" | "dec" | "numeric" => NUMERIC,
        "char" | "character" => BPCHAR,
        word => return by_name(word).or_else(|| SqlType::from_name(word).map(SqlType::oid)),
    })
}

fn undefined(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// A type's name with its modifier, as `format_type` writes it.
pub(crate) fn format(kind: Kind, typmod: Option<i64>) -> String {
    let Some(info) = info(kind) else {
        return if kind == 0 { "-".into() } else { "???".into() };
    };
    if info.element != 0 && !matches!(kind, INT2VECTOR | OIDVECTOR) {
        return format!("{}[]", format(info.element, typmod));
    }
    let modifier = typmod.filter(|m| *m >= 0);
    match (kind, modifier) {
        (BPCHAR, Some(m)) => format!("character({})", m - 4),
        // Without a modifier `character` would mean `character(1)`.
        (BPCHAR, None) => {
            if typmod.is_some() {
                "bpchar".into()
            } else {
                "character".into()
            }
        }
        (VARCHAR, Some(m)) => format!("character varying({})", m - 4),
        (VARCHAR, None) => "character varying".into(),
        (NUMERIC, Some(m)) => format!("numeric({},{})", ((m - 4) >> 16) & 0xffff, (m - 4) & 0x7ff),
        (CHAR, _) => "\"char\"".into(),
        (1083, Some(m)) => format!("time({m}) without time zone"),
        (1083, None) => "time without time zone".into(),
        (1114, Some(m)) => format!("timestamp({m}) without time zone"),
        (1114, None) => "timestamp without time zone".into(),
        (TIMESTAMPTZ, Some(m)) => format!("timestamp({m}) with time zone"),
        (TIMESTAMPTZ, None) => "timestamp with time zone".into(),
        (1266, _) => "time with time zone".into(),
        (1560, _) => "bit".into(),
        (1562, _) => "bit varying".into(),
        // Keywords that are not quoted as the names of types.
        (NUMERIC, None) => "numeric".into(),
        (INTERVAL, _) => "interval".into(),
        (BOOL, _) => "boolean".into(),
        (INT2, _) => "smallint".into(),
        (INT4, _) => "integer".into(),
        (INT8, _) => "bigint".into(),
        (FLOAT4, _) => "real".into(),
        (FLOAT8, _) => "double precision".into(),
        _ => crate::names::quote_ident(info.name),
    }
}
