//! The eight tables' rows, as Arrow batches or as COPY text, whole or in parts that can be made at the same time.

use std::fmt::{Display, Write};

use arrow::array::RecordBatchReader;
use bytes::Bytes;
use tpchgen::generators as rows;
use tpchgen_arrow as batches;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// 5 rows at every scale.
    Region,
    /// 25 rows at every scale.
    Nation,
    /// 10,000 rows a scale unit.
    Supplier,
    /// 200,000 rows a scale unit.
    Part,
    /// 800,000 rows a scale unit.
    PartSupp,
    /// 150,000 rows a scale unit.
    Customer,
    /// 1,500,000 rows a scale unit.
    Orders,
    /// About 6,000,000 rows a scale unit.
    LineItem,
}

/// Rows in PostgreSQL's COPY text format with `|` between values.
pub struct CopyChunk {
    /// Whole lines.
    pub bytes: Bytes,
    /// How many.
    pub rows: u64,
}

/// Large enough that a chunk's send costs little beside making it, small enough that a few in flight are nothing.
const COPY_CHUNK_BYTES: usize = 256 * 1024;

/// At most this many rows of the largest table in one part: a load has something to do in parallel from scale 1 on, and a column
/// store gets batches of a size it can keep.
const ROWS_PER_PART: u64 = 1_000_000;

impl Table {
    /// Every table, small ones first.
    pub const ALL: [Table; 8] = [
        Table::Region,
        Table::Nation,
        Table::Supplier,
        Table::Customer,
        Table::Part,
        Table::PartSupp,
        Table::Orders,
        Table::LineItem,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Table::Region => "region",
            Table::Nation => "nation",
            Table::Supplier => "supplier",
            Table::Part => "part",
            Table::PartSupp => "partsupp",
            Table::Customer => "customer",
            Table::Orders => "orders",
            Table::LineItem => "lineitem",
        }
    }

    /// How many rows there are at `scale`: exact, except for `lineitem`, where it is within a few per cent.
    pub fn rows_about(self, scale: f64) -> u64 {
        let count = match self {
            Table::Region => 5,
            Table::Nation => 25,
            Table::Supplier => rows::SupplierGenerator::calculate_row_count(scale, 1, 1),
            Table::Part => rows::PartGenerator::calculate_row_count(scale, 1, 1),
            Table::PartSupp => rows::PartSuppGenerator::calculate_row_count(scale, 1, 1) * 4,
            Table::Customer => rows::CustomerGenerator::calculate_row_count(scale, 1, 1),
            Table::Orders => rows::OrderGenerator::calculate_row_count(scale, 1, 1),
            Table::LineItem => rows::OrderGenerator::calculate_row_count(scale, 1, 1) * 4,
        };
        u64::try_from(count).unwrap_or(0)
    }

    /// Into how many parts a parallel load should split the table.
    pub fn parts(self, scale: f64) -> i32 {
        i32::try_from(self.rows_about(scale).div_ceil(ROWS_PER_PART)).unwrap_or(i32::MAX).max(1)
    }

    /// The rows of part `part` (1 to `parts`) in key order, in batches of `rows_per_batch`. Parts in order make the table in order;
    /// `region` and `nation` have one part only.
    pub fn batches(self, scale: f64, part: i32, parts: i32, rows_per_batch: usize) -> Box<dyn RecordBatchReader + Send> {
        macro_rules! of {
            ($rows:ident, $batches:ident) => {
                Box::new(batches::$batches::new(rows::$rows::new(scale, part, parts)).with_batch_size(rows_per_batch))
            };
        }
        match self {
            Table::Region => of!(RegionGenerator, RegionArrow),
            Table::Nation => of!(NationGenerator, NationArrow),
            Table::Supplier => of!(SupplierGenerator, SupplierArrow),
            Table::Part => of!(PartGenerator, PartArrow),
            Table::PartSupp => of!(PartSuppGenerator, PartSuppArrow),
            Table::Customer => of!(CustomerGenerator, CustomerArrow),
            Table::Orders => of!(OrderGenerator, OrderArrow),
            Table::LineItem => of!(LineItemGenerator, LineItemArrow),
        }
    }

    /// The same rows as text for `COPY table FROM STDIN WITH (DELIMITER '|')`.
    pub fn copy_chunks(self, scale: f64, part: i32, parts: i32) -> Box<dyn Iterator<Item = CopyChunk> + Send> {
        macro_rules! of {
            ($rows:ident) => {
                Box::new(chunks(rows::$rows::new(scale, part, parts).iter()))
            };
        }
        match self {
            Table::Region => of!(RegionGenerator),
            Table::Nation => of!(NationGenerator),
            Table::Supplier => of!(SupplierGenerator),
            Table::Part => of!(PartGenerator),
            Table::PartSupp => of!(PartSuppGenerator),
            Table::Customer => of!(CustomerGenerator),
            Table::Orders => of!(OrderGenerator),
            Table::LineItem => of!(LineItemGenerator),
        }
    }
}

/// The generator prints a row as dbgen does, with a delimiter after the last value too; COPY has none there.
fn chunks<R: Display>(mut rows: impl Iterator<Item = R>) -> impl Iterator<Item = CopyChunk> {
    std::iter::from_fn(move || {
        let mut text = String::with_capacity(COPY_CHUNK_BYTES + 1024);
        let mut count = 0;
        while text.len() < COPY_CHUNK_BYTES {
            let Some(row) = rows.next() else { break };
            write!(text, "{row}").expect("writing to a String cannot fail");
            let last = text.pop();
            debug_assert_eq!(last, Some('|'));
            text.push('\n');
            count += 1;
        }
        (count > 0).then(|| CopyChunk { bytes: text.into(), rows: count })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_order_are_the_table() {
        for table in Table::ALL {
            let text = |part, parts| -> String {
                table.copy_chunks(0.002, part, parts).map(|chunk| String::from_utf8(chunk.bytes.to_vec()).unwrap()).collect()
            };
            if table.parts(10.0) > 1 {
                assert_eq!(text(1, 1), (1..=3).map(|part| text(part, 3)).collect::<String>(), "{}", table.name());
            }
        }
    }

    #[test]
    fn text_and_batches_have_the_same_rows() {
        use arrow::util::display::array_value_to_string;
        for table in Table::ALL {
            let mut lines = Vec::new();
            for batch in table.batches(0.001, 1, 1, 100) {
                let batch = batch.unwrap();
                for row in 0..batch.num_rows() {
                    let values: Vec<_> =
                        batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()).collect();
                    // The text has l_quantity as a whole number, the batch as numeric(15,2).
                    lines.push(values.join("|").replace(".00|", "|"));
                }
            }
            let text: String =
                table.copy_chunks(0.001, 1, 1).map(|chunk| String::from_utf8(chunk.bytes.to_vec()).unwrap()).collect();
            let text = text.replace(".00|", "|");
            assert_eq!(lines, text.lines().collect::<Vec<_>>(), "{}", table.name());
        }
    }

    #[test]
    fn row_counts_are_known_in_advance_except_for_lineitem() {
        for table in Table::ALL {
            let rows: u64 = table.copy_chunks(0.01, 1, 1).map(|chunk| chunk.rows).sum();
            if table == Table::LineItem {
                assert_eq!(rows, 60_175);
            } else {
                assert_eq!(rows, table.rows_about(0.01), "{}", table.name());
            }
        }
    }
}
