//! The user's files: patterns, opening, and writing so that a file is there whole or not at all.

#![expect(clippy::disallowed_methods, reason = "these are the user's files, not the database's")]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// A file to read.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

impl Input {
    /// The same file with a position of its own, at the start.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Whether the path leads to this very file, by whatever name.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        matches!((self.file.metadata(), std::fs::metadata(path)), (Ok(ours), Ok(there)) if place(&ours) == place(&there))
    }
}

/// Opens every file that the arguments name. An argument that is no file is a pattern (`*`, `?`, `[..]`, `**`); its files are
/// taken in the order of their names. Errors: no such file, a pattern without a match.
pub(crate) fn open_all(arguments: &[String]) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for argument in arguments {
        let path = PathBuf::from(argument);
        if path.exists() || !argument.contains(['*', '?', '[']) {
            inputs.push(open(path)?);
            continue;
        }
        let matches = glob::glob(argument).map_err(|error| Failure::usage(format!("pattern {argument:?}: {error}")))?;
        let before = inputs.len();
        for path in matches {
            let path = path.map_err(|error| Failure::during("list files", error))?;
            if path.is_file() {
                inputs.push(open(path)?);
            }
        }
        if inputs.len() == before {
            return Err(Failure::new(format!("no file matches {argument:?}")));
        }
    }
    Ok(inputs)
}

fn open(path: PathBuf) -> Result<Input, Failure> {
    let failed = |error: io::Error| Failure::during(format!("open {}", path.display()), error);
    let file = File::open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(
            Failure::new(format!("{} is not a file", path.display())).next("name files, or a pattern such as 'dir/*.csv'")
        );
    }
    Ok(Input { bytes: metadata.len(), path, file })
}

/// A delimiter on the command line: a character, or `\t` for a tab, which shells make hard to write.
pub(crate) fn delimiter(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("\\t", ..) => Ok('\t'),
        (_, Some(only), None) => Ok(only),
        _ => Err("a delimiter is one character, or \\t for a tab".to_owned()),
    }
}

/// Some programs begin a file with it to say that it is UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What to do about text of another encoding.
pub(crate) const CONVERT: &str = "convert it first, such as with iconv -f LATIN1 -t UTF-8 (or -f UTF-16)";

/// The text of a file, without the mark that it is UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let failure = Failure::during(format!("read {}", path.display()), &error);
        if error.kind() == io::ErrorKind::InvalidData { failure.next(CONVERT) } else { failure }
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// Removes a file if there is one that begins so.
pub(crate) fn remove_if_begins(path: &Path, head: &[u8]) -> Result<(), Failure> {
    let begins = |file: File| -> io::Result<bool> {
        let mut begin = Vec::new();
        file.take(head.len() as u64).read_to_end(&mut begin)?;
        Ok(begin == head)
    };
    match File::open(path).and_then(begins) {
        Ok(true) => std::fs::remove_file(path),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| Failure::during(format!("remove {}", path.display()), error))
}

/// A file being written under another name, which [`Output::finish`] changes to the one wanted. Dropped before, it is removed.
pub(crate) struct Output {
    path: PathBuf,
    temporary: tempfile::NamedTempFile,
}

impl Output {
    /// Begins a file. The one of that name, if there is one, stays as it is until [`Output::finish`].
    pub(crate) fn create(path: &Path) -> Result<Output, Failure> {
        let folder = folder_of(path);
        let temporary = tempfile::Builder::new()
            .prefix(".colonnade-")
            .permissions(permissions())
            .tempfile_in(folder)
            .map_err(|error| Failure::during(format!("write to folder {}", folder.display()), error))?;
        Ok(Output { path: path.to_owned(), temporary })
    }

    /// Where to write.
    pub(crate) fn writer(&self) -> Result<BufWriter<File>, Failure> {
        self.temporary
            .reopen()
            .map(BufWriter::new)
            .map_err(|error| Failure::during(format!("write {}", self.path.display()), error))
    }

    /// Makes the file durable and gives it its name. The writer must have been flushed.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Output { path, temporary } = self;
        let failed = |error: io::Error| Failure::during(format!("write {}", path.display()), error);
        temporary.as_file().sync_all().map_err(failed)?;
        temporary.persist(&path).map_err(|error| failed(error.error))?;
        // The name is the folder's.
        File::open(folder_of(&path)).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// As for any new file; the user's mask takes away what it does not allow. Temporary files are otherwise their owner's alone.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}

/// A file made when its first line is written: most imports have nothing to reject.
pub(crate) struct OnDemand {
    path: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl OnDemand {
    pub(crate) fn new(path: PathBuf) -> OnDemand {
        OnDemand { path, writer: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends, after `head` if these are the first bytes; a file from before is replaced then.
    pub(crate) fn write(&mut self, head: &[u8], bytes: &[u8]) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::during(format!("write {}", self.path.display()), error);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer = BufWriter::new(File::create(&self.path).map_err(failed)?);
                writer.write_all(head).map_err(failed)?;
                self.writer.insert(writer)
            }
        };
        writer.write_all(bytes).map_err(failed)
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let path = &self.path;
        self.writer
            .as_mut()
            .map_or(Ok(()), |writer| writer.flush())
            .map_err(|error| Failure::during(format!("write {}", path.display()), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        std::fs::write(&path, "old").unwrap();
        let output = Output::create(&path).unwrap();
        output.writer().unwrap().write_all(b"half").unwrap();
        drop(output);
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is left");

        let output = Output::create(&path).unwrap();
        output.writer().unwrap().write_all(b"new").unwrap();
        output.finish().unwrap();
        assert_eq!(read_text(&path).unwrap(), "new");
    }

    #[test]
    fn text_is_utf_8_with_or_without_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.sql");
        std::fs::write(&path, "\u{feff}select 1").unwrap();
        assert_eq!(read_text(&path).unwrap(), "select 1");
        std::fs::write(&path, b"select '\xe9'").unwrap();
        assert!(format!("{:?}", read_text(&path).unwrap_err()).contains("iconv"));
    }

    #[test]
    fn patterns_name_files_in_order_and_must_match() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "c.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let pattern = folder.path().join("*.csv").display().to_string();
        let names: Vec<_> = open_all(&[pattern]).unwrap().iter().map(|i| i.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.csv", "b.csv"]);
        assert!(open_all(&[folder.path().join("*.parquet").display().to_string()]).is_err());
        assert!(open_all(&[folder.path().join("d.csv").display().to_string()]).is_err());
        assert!(open_all(&[folder.path().display().to_string()]).is_err());
    }
}
