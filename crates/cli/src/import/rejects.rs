//! Rows that were not imported, with the reason.

use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::files::{self, OnDemand};

const HEAD: &[u8] = b"file,line,column,reason,record\n";

/// Why a row is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The column, or nothing when the whole row cannot be read.
    pub(super) column: String,
    /// What is wrong, as the database would say it.
    pub(super) reason: String,
}

/// The rejects file.
pub(super) struct Rejects {
    file: OnDemand,
    count: u64,
    max: Option<u64>,
}

impl Rejects {
    pub(super) fn new(path: PathBuf, max: Option<u64>) -> Rejects {
        Rejects { file: OnDemand::new(path), count: 0, max }
    }

    /// Writes a row down. `record` is the row as one line of CSV, as it came. Errors: there are more than allowed.
    pub(super) fn add(&mut self, file: &Path, line: u64, fault: &Fault, record: &str) -> Result<(), Failure> {
        self.count += 1;
        let fields =
            [file.display().to_string(), line.to_string(), fault.column.clone(), fault.reason.clone(), record.to_owned()];
        self.file.write(HEAD, line_of(&fields).as_bytes())?;
        match self.max {
            Some(max) if self.count > max => {
                self.file.flush()?;
                Err(Failure::new(format!("more than {max} rows are bad; nothing was imported"))
                    .next(format!("{} says where and why", self.file.path().display())))
            }
            _ => Ok(()),
        }
    }

    /// Completes the file; returns how many rows it has.
    pub(super) fn finish(mut self) -> Result<u64, Failure> {
        self.file.flush()?;
        Ok(self.count)
    }
}

/// Removes what an earlier import has left there, so that it does not look like this one's. Any other file of that name stays.
pub(super) fn remove_old(path: &Path) {
    if let Err(failure) = files::remove_if_begins(path, HEAD) {
        failure.show();
    }
}

/// Fields as a line of CSV.
pub(super) fn line_of<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> String {
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(fields).expect("memory takes every byte");
    String::from_utf8_lossy(&writer.into_inner().expect("memory takes every byte")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_row_keeps_its_place_and_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        let mut rejects = Rejects::new(path.clone(), Some(1));
        let fault = Fault { column: "n".into(), reason: "invalid input syntax for type integer: \"x\"".into() };
        rejects.add(Path::new("in.csv"), 7, &fault, "a,x").unwrap();
        assert!(rejects.add(Path::new("in.csv"), 8, &fault, "b,x").is_err());
        let text = files::read_text(&path).unwrap();
        assert_eq!(text.lines().nth(1).unwrap(), "in.csv,7,n,\"invalid input syntax for type integer: \"\"x\"\"\",\"a,x\"");
    }

    #[test]
    fn no_file_is_made_without_a_bad_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.csv");
        assert_eq!(Rejects::new(path.clone(), None).finish().unwrap(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn only_rejects_are_removed_as_old() {
        let folder = tempfile::tempdir().unwrap();
        let (old, other) = (folder.path().join("old.csv"), folder.path().join("other.csv"));
        let fault = Fault { column: "n".into(), reason: "bad".into() };
        let mut rejects = Rejects::new(old.clone(), None);
        rejects.add(Path::new("in.csv"), 7, &fault, "a,x").unwrap();
        rejects.finish().unwrap();
        let mut mine = OnDemand::new(other.clone());
        mine.write(b"", b"file,letters\n").unwrap();
        mine.flush().unwrap();
        for path in [&old, &other, &folder.path().join("none.csv")] {
            remove_old(path);
        }
        assert_eq!((old.exists(), other.exists()), (false, true));
    }
}
