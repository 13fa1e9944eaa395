//! PostgreSQL 15's own catalog, as text that is part of the program: what its relations look like, and the rows that are the same in
//! every database.
//!
//! Source: `scripts/oracle/pg_catalog.py`; the form is that of COPY.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

const RELATIONS: &str = include_str!("data/relations.tsv");
/// Relations that PostgreSQL has not: reading the second one runs a check of everything.
const OWN: &str = "\
pg_catalog\tpg_stat_scrub\t13900\tr\tpasses:int8! began:timestamptz ended:timestamptz segments_read:int8! bytes_read:int8! damaged:int8! last_damage:text
pg_catalog\tpg_check_database\t13901\tr\trelation:text place:text! finding:text!
";
const VIEWS: &str = include_str!("data/views.tsv");

/// The rows of a relation that does not change: a line of column names, then lines of values.
pub(crate) struct Table {
    head: &'static str,
    body: &'static str,
}

impl Table {
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.head.split('\t')
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &'static str> {
        self.body.lines()
    }

    /// A value of a line as it is written.
    pub(crate) fn raw(&self, line: &'static str, column: &str) -> Option<&'static str> {
        let at = self.columns().position(|c| c == column)?;
        cells_raw(line).nth(at)
    }

    /// A value of a row by its column's name.
    pub(crate) fn cell<'a>(&self, row: &'a [Option<Cow<'static, str>>], column: &str) -> Option<&'a str> {
        let at = self.columns().position(|c| c == column)?;
        row.get(at)?.as_deref()
    }
}

/// The values of a line as they are written.
pub(crate) fn cells_raw(line: &'static str) -> impl Iterator<Item = &'static str> {
    line.split('\t')
}

/// The values of a line; `None` for NULL.
pub(crate) fn cells(line: &'static str) -> Vec<Option<Cow<'static, str>>> {
    cells_raw(line).map(unescaped).collect()
}

fn unescaped(cell: &'static str) -> Option<Cow<'static, str>> {
    if cell == "\\N" {
        return None;
    }
    if !cell.contains('\\') {
        return Some(cell.into());
    }
    let mut out = String::with_capacity(cell.len());
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    Some(out.into())
}

/// The rows that come with PostgreSQL, for the relations that have such.
pub(crate) fn table(name: &str) -> Option<Table> {
    let text = match name {
        "pg_aggregate" => include_str!("data/pg_aggregate.tsv"),
        "pg_am" => include_str!("data/pg_am.tsv"),
        "pg_cast" => include_str!("data/pg_cast.tsv"),
        "pg_collation" => include_str!("data/pg_collation.tsv"),
        "pg_description" => include_str!("data/pg_description.tsv"),
        "pg_language" => include_str!("data/pg_language.tsv"),
        "pg_opclass" => include_str!("data/pg_opclass.tsv"),
        "pg_operator" => include_str!("data/pg_operator.tsv"),
        "pg_opfamily" => include_str!("data/pg_opfamily.tsv"),
        "pg_proc" => include_str!("data/pg_proc.tsv"),
        "pg_range" => include_str!("data/pg_range.tsv"),
        "pg_tablespace" => include_str!("data/pg_tablespace.tsv"),
        "pg_type" => include_str!("data/pg_type.tsv"),
        _ => return None,
    };
    let (head, body) = text.split_once('\n')?;
    Some(Table { head, body })
}

/// What a system relation looks like.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) oid: u32,
    /// `r` or `v`.
    pub(crate) relkind: &'static str,
    columns: &'static str,
}

/// A column of a system relation.
pub(crate) struct ShapeColumn {
    pub(crate) name: &'static str,
    /// As in `pg_type`.
    pub(crate) type_name: &'static str,
    pub(crate) not_null: bool,
}

impl Shape {
    pub(crate) fn columns(&self) -> impl Iterator<Item = ShapeColumn> + use<> {
        self.columns.split(' ').filter_map(|column| {
            let (name, rest) = column.split_once(':')?;
            let type_name = rest.trim_end_matches('!');
            Some(ShapeColumn { name, type_name, not_null: type_name.len() < rest.len() })
        })
    }
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shape = |line: &'static str| {
        let mut cells = line.split('\t');
        Some(Shape {
            schema: cells.next()?,
            name: cells.next()?,
            oid: cells.next()?.parse().ok()?,
            relkind: cells.next()?,
            columns: cells.next()?,
        })
    };
    RELATIONS.lines().chain(OWN.lines()).filter_map(shape).collect()
});

/// Every relation of `pg_catalog` and `information_schema`.
pub(crate) fn shapes() -> &'static [Shape] {
    &SHAPES
}

/// A system relation by its name.
pub(crate) fn shape(schema: &str, name: &str) -> Option<&'static Shape> {
    static INDEX: LazyLock<HashMap<(&'static str, &'static str), usize>> =
        LazyLock::new(|| shapes().iter().enumerate().map(|(at, shape)| ((shape.schema, shape.name), at)).collect());
    INDEX.get(&(schema, name)).and_then(|at| shapes().get(*at))
}

/// Views of what is not here: extensions, replication, large statistics, files of PostgreSQL's own. They have columns and no rows.
const EMPTY_VIEWS: [&str; 32] = [
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_memory_contexts",
    "pg_config",
    "pg_cursors",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_shmem_allocations",
    "pg_stat_archiver",
    "pg_stat_progress_analyze",
    "pg_stat_progress_basebackup",
    "pg_stat_progress_cluster",
    "pg_stat_progress_copy",
    "pg_stat_progress_create_index",
    "pg_stat_progress_vacuum",
    "pg_stat_recovery_prefetch",
    "pg_stat_replication",
    "pg_stat_replication_slots",
    "pg_stat_slru",
    "pg_stat_subscription",
    "pg_stat_subscription_stats",
    "pg_stat_wal",
    "pg_stat_wal_receiver",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
];

/// Whether a system relation is a view that is kept empty.
pub(crate) fn is_empty_view(shape: &Shape) -> bool {
    EMPTY_VIEWS.binary_search(&shape.name).is_ok() || (shape.schema, shape.name) == ("information_schema", "triggers")
}

/// PostgreSQL's text of a system view.
pub(crate) fn view(schema: &str, name: &str) -> Option<Cow<'static, str>> {
    static INDEX: LazyLock<HashMap<(&'static str, &'static str), &'static str>> = LazyLock::new(|| {
        let entry = |line: &'static str| {
            let mut cells = line.splitn(3, '\t');
            Some(((cells.next()?, cells.next()?), cells.next()?))
        };
        VIEWS.lines().filter_map(entry).collect()
    });
    let text = unescaped(INDEX.get(&(schema, name))?)?;
    Some(match text {
        Cow::Borrowed(text) => text.trim_end_matches(';').into(),
        Cow::Owned(text) => text.trim_end_matches(';').to_owned().into(),
    })
}
