//! A table for people: borders only where they help, numbers to the right.

use std::fmt;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, TableComponent, presets};

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table under construction; `Display` draws it.
pub struct Table {
    table: comfy_table::Table,
}

impl Table {
    /// A table with these column heads.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Table {
        let columns: Vec<_> = columns.into_iter().collect();
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        for line_between_rows in [
            TableComponent::HorizontalLines,
            TableComponent::MiddleIntersections,
            TableComponent::LeftBorderIntersections,
            TableComponent::RightBorderIntersections,
        ] {
            table.remove_style(line_between_rows);
        }
        table.set_header(columns.iter().map(|(name, _)| *name));
        for (column, (_, align)) in table.column_iter_mut().zip(&columns) {
            column.set_constraint(ColumnConstraint::ContentWidth);
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        Table { table }
    }

    /// Adds a row; cells beyond the last column get a column without a head.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::new([("query", Align::Left), ("ms", Align::Right)]);
        table.row(["Q1".to_owned(), "7.5".to_owned()]);
        table.row(["Q22".to_owned(), "1234.5".to_owned()]);
        let drawn = table.to_string();
        let lines: Vec<_> = drawn.lines().skip(3).take(2).collect();
        assert_eq!(lines, [" Q1         7.5 ", " Q22     1234.5 "], "{drawn}");
    }
}
