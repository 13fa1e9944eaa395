//! Rows for people and for programs.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::client::Outcome;
use crate::exit::{counted, say, warn};

/// How rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A grid.
    Table,
    /// Comma-separated with a header; NULL is nothing.
    Csv,
}

/// Prints outcomes.
pub(super) struct Printer {
    format: Format,
    /// One value a line.
    pub(super) expanded: bool,
}

impl Printer {
    pub(super) fn new(format: Format) -> Printer {
        Printer { format, expanded: false }
    }

    pub(super) fn outcome(&self, outcome: &Outcome) {
        outcome.notices.iter().for_each(|notice| warn(notice));
        let rows_only = outcome.columns.is_empty() && !outcome.rows.is_empty();
        if rows_only {
            outcome.rows.iter().for_each(|row| say(&row.iter().flatten().cloned().collect::<Vec<_>>().join("\t")));
        } else if outcome.columns.is_empty() {
            // Programs that read CSV want rows and nothing else.
            match (&outcome.tag, self.format) {
                (Some(tag), Format::Table) => say(tag),
                (Some(tag), Format::Csv) => warn(tag),
                (None, _) => {}
            }
        } else {
            match (self.format, self.expanded) {
                (Format::Csv, _) => say(&csv(outcome)),
                (Format::Table, true) => say(&expanded(outcome)),
                (Format::Table, false) => say(&format!("{}\n{}", grid(outcome), rows_shown(outcome.rows.len()))),
            }
        }
    }
}

fn rows_shown(rows: usize) -> String {
    format!("({})", counted(rows as u64, "row"))
}

fn grid(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(&outcome.columns);
    for row in &outcome.rows {
        table.add_row(row.iter().map(|value| value.as_deref().unwrap_or("")));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let mut values = outcome.rows.iter().filter_map(|row| row[at].as_deref()).peekable();
        let numbers = values.peek().is_some() && values.all(is_number);
        column.set_cell_alignment(if numbers { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

fn expanded(outcome: &Outcome) -> String {
    let width = outcome.columns.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (at, row) in outcome.rows.iter().enumerate() {
        text.push_str(&format!("-[ row {} ]-\n", at + 1));
        for (name, value) in outcome.columns.iter().zip(row) {
            text.push_str(&format!("{name:width$} | {}\n", value.as_deref().unwrap_or("")));
        }
    }
    text + &rows_shown(outcome.rows.len())
}

fn csv(outcome: &Outcome) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    let written = writer.write_record(&outcome.columns).and_then(|()| {
        outcome.rows.iter().try_for_each(|row| writer.write_record(row.iter().map(|value| value.as_deref().unwrap_or(""))))
    });
    written.expect("rows of one result have one length, and memory takes every byte");
    let bytes = writer.into_inner().expect("memory takes every byte");
    String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let row = |a: &str, b: Option<&str>| vec![Some(a.to_owned()), b.map(str::to_owned)];
        Outcome {
            columns: vec!["name".into(), "n".into()],
            rows: vec![row("a,b", Some("1.5")), row("c", None)],
            ..Outcome::default()
        }
    }

    #[test]
    fn csv_quotes_what_it_must_and_leaves_null_empty() {
        assert_eq!(csv(&outcome()), "name,n\n\"a,b\",1.5\nc,");
    }

    #[test]
    fn numbers_stand_to_the_right_also_beside_null() {
        let drawn = grid(&outcome()).to_string();
        assert!(drawn.contains("│ a,b  ┆ 1.5 │") && drawn.contains("│ c    ┆     │"), "{drawn}");
    }

    #[test]
    fn expanded_rows_have_a_value_a_line() {
        assert_eq!(expanded(&outcome()), "-[ row 1 ]-\nname | a,b\nn    | 1.5\n-[ row 2 ]-\nname | c\nn    | \n(2 rows)");
    }
}
