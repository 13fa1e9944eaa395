//! A file to import, whatever its form.

use std::collections::HashMap;
use std::path::Path;

use bench::Progress;

use crate::exit::Failure;
use crate::files::Input;
use crate::import::Column;
use crate::import::batch::Lot;
use crate::import::csv::CsvSource;
use crate::import::infer::Guess;
use crate::import::parquet::ParquetSource;
use crate::import::rejects::Rejects;

/// How CSV files are written.
#[derive(Clone, Debug)]
pub(super) struct CsvForm {
    /// None: by the file's ending.
    pub(super) delimiter: Option<u8>,
    pub(super) null: Vec<u8>,
    pub(super) header: bool,
}

impl CsvForm {
    pub(super) fn new(delimiter: Option<char>, null: &str, header: bool) -> Result<CsvForm, Failure> {
        let delimiter = delimiter
            .map(|c| u8::try_from(c).ok().filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte)))
            .map(|byte| byte.ok_or_else(|| Failure::usage("the delimiter must be one ASCII character, no quote and no line end")))
            .transpose()?;
        Ok(CsvForm { delimiter, null: null.into(), header })
    }
}

/// An open file.
pub(super) enum Source {
    Csv(CsvSource),
    Parquet(ParquetSource),
}

impl Source {
    /// Opens a file by its ending and reads its head.
    pub(super) fn open(input: Input, form: &CsvForm) -> Result<Source, Failure> {
        let extension = input.path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_ascii_lowercase();
        match extension.as_str() {
            "csv" => CsvSource::open(input, form, b',').map(Source::Csv),
            "tsv" => CsvSource::open(input, form, b'\t').map(Source::Csv),
            "parquet" => ParquetSource::open(input).map(Source::Parquet),
            _ => Err(Failure::usage(format!("{} does not say what form it has", input.path.display()))
                .next("name it .csv, .tsv or .parquet")),
        }
    }

    /// The file's size.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Source::Csv(source) => source.bytes(),
            Source::Parquet(source) => source.bytes(),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Source::Csv(source) => source.path(),
            Source::Parquet(source) => source.path(),
        }
    }

    /// The names of the file's columns; none if it has no names.
    fn names(&self) -> Option<Vec<String>> {
        match self {
            Source::Csv(source) => source.names().map(<[_]>::to_vec),
            Source::Parquet(source) => Some(source.names()),
        }
    }

    /// What the file has, going by so many of its first rows.
    pub(super) fn infer(&self, rows: usize) -> Result<Vec<Guess>, Failure> {
        match self {
            Source::Csv(source) => source.infer(rows),
            Source::Parquet(source) => source.infer(),
        }
    }

    /// Which of the table's columns the file has, in the file's order. Errors: it has one that the table has not.
    pub(super) fn columns_of(&self, table: &[Column]) -> Result<Vec<Column>, Failure> {
        let Some(names) = self.names() else { return Ok(table.to_vec()) };
        let by_name: HashMap<String, &Column> = table.iter().map(|column| (column.name.to_lowercase(), column)).collect();
        names
            .iter()
            .map(|name| {
                let exact = table.iter().find(|column| column.name == *name);
                exact.or_else(|| by_name.get(&name.to_lowercase()).copied()).cloned().ok_or_else(|| {
                    let known: Vec<_> = table.iter().map(|column| column.name.as_str()).collect();
                    Failure::new(format!("{} has a column {name} that the table has not", self.path().display())).next(format!(
                        "the table's columns are {}; --no-header takes the first line of a CSV file as a row",
                        known.join(", ")
                    ))
                })
            })
            .collect()
    }

    /// Settles which of the file's columns fills which of `columns`. Errors: the file lacks one.
    pub(super) fn bind(&mut self, columns: &[Column]) -> Result<(), Failure> {
        let places = match self.names() {
            None => (0..columns.len()).collect(),
            Some(names) => columns
                .iter()
                .map(|column| {
                    let same = |name: &String| *name == column.name;
                    let alike = |name: &String| name.to_lowercase() == column.name.to_lowercase();
                    names.iter().position(same).or_else(|| names.iter().position(alike)).ok_or_else(|| {
                        Failure::new(format!("{} has no column {}, which the first file has", self.path().display(), column.name))
                            .next("import files with different columns one by one")
                    })
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        match self {
            Source::Csv(source) => {
                source.bind(columns, places);
                Ok(())
            }
            Source::Parquet(source) => source.bind(columns, places),
        }
    }

    /// Says that the columns' types were inferred: a value that its type would change is then refused.
    pub(super) fn hold_to_inferred(&mut self) {
        match self {
            Source::Csv(source) => source.hold_to_inferred(),
            // Its columns have the file's types.
            Source::Parquet(_) => {}
        }
    }

    /// Reads the file to its end, a batch of good rows at a time; stops early when `take` wants no more.
    pub(super) fn read(
        self,
        rejects: &mut Rejects,
        progress: &Progress,
        take: &mut dyn FnMut(Lot) -> bool,
    ) -> Result<(), Failure> {
        match self {
            Source::Csv(source) => source.read(rejects, progress, take),
            Source::Parquet(source) => source.read(rejects, progress, take),
        }
    }
}
