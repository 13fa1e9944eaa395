//! `object_store::ObjectStore` over `env`: local files by the interface that remote ones will have.
//!
//! 1. Reads are exact: a range that the file does not have is an error, never fewer bytes.
//! 2. `put` is atomic and durable when it returns: temporary name, sync, rename (or, to create, link), sync of the directory.
//!    The crate's own `LocalFileSystem` syncs nothing in the version we are bound to, which is why this exists.
//! 3. Everything completes at the first poll: no future waits for anything but the disk.
//!
//! Not here: checksums. Bytes are handed on as they are; `reader` compares them with the sidecar before anything decodes them.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use env::{Env, File, OpenMode};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

const STORE: &str = "Colonnade local";

/// Files below a directory of an `Env` as an object store.
pub struct LocalStore {
    env: Arc<dyn Env>,
    root: PathBuf,
    /// Files someone else keeps open anyway.
    open: Mutex<Vec<(Path, Weak<dyn File>)>>,
}

impl LocalStore {
    /// The files below `root`.
    pub fn new(env: Arc<dyn Env>, root: impl Into<PathBuf>) -> LocalStore {
        LocalStore { env, root: root.into(), open: Mutex::new(Vec::new()) }
    }

    /// Opens a file and reads it by this handle as long as the caller keeps it, instead of opening it for every range.
    pub fn keep_open(&self, location: &Path) -> Result<Arc<dyn File>> {
        let file = self.env.open(&self.file_path(location), OpenMode::Read).map_err(|e| error(location, e))?;
        let mut open = self.open.lock();
        open.retain(|(path, file)| path != location && file.strong_count() > 0);
        open.push((location.clone(), Arc::downgrade(&file)));
        Ok(file)
    }

    fn file_path(&self, location: &Path) -> PathBuf {
        self.root.join(location.as_ref())
    }

    fn file(&self, location: &Path) -> Result<Arc<dyn File>> {
        let kept = self.open.lock().iter().find(|(path, _)| path == location).and_then(|(_, file)| file.upgrade());
        match kept {
            Some(file) => Ok(file),
            None => self.env.open(&self.file_path(location), OpenMode::Read).map_err(|e| error(location, e)),
        }
    }

    fn read(&self, location: &Path, file: &dyn File, range: &Range<u64>) -> Result<Bytes> {
        let len = file.len().map_err(|e| error(location, e))?;
        if range.start > range.end || range.end > len {
            let message = format!("bytes {}..{} of a file of {len}", range.start, range.end);
            return Err(error(location, io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(|e| error(location, io::Error::other(e)))?];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| error(location, e))?;
        Ok(bytes.into())
    }

    fn meta(&self, location: &Path, size: u64) -> ObjectMeta {
        // The time of change is not known through `env`, and files here never change.
        ObjectMeta { location: location.clone(), last_modified: Default::default(), size, e_tag: None, version: None }
    }

    fn put(&self, location: &Path, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
        let path = self.file_path(location);
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        self.env.create_dir_all(parent)?;
        let temporary = path.with_extension(format!("{:016x}.tmp", self.env.random_u64()));
        let file = self.env.open(&temporary, OpenMode::CreateNew)?;
        let mut at = 0;
        for part in payload.iter() {
            file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        file.sync_data()?;
        match mode {
            PutMode::Create => {
                let linked = self.env.link(&temporary, &path);
                self.env.unlink(&temporary)?;
                linked?;
            }
            _ => self.env.rename(&temporary, &path)?,
        }
        self.env.sync_dir(parent)
    }

    fn delete(&self, location: &Path) -> Result<()> {
        let path = self.file_path(location);
        self.env.unlink(&path).map_err(|e| error(location, e))?;
        match path.parent() {
            Some(parent) => self.env.sync_dir(parent).map_err(|e| error(location, e)),
            None => Ok(()),
        }
    }

    /// Every file below `prefix`. What is a directory is found out by listing it: `env` has no other way to tell.
    fn walk(&self, prefix: &Path, deep: bool) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        let names = match self.env.list(&self.file_path(prefix)) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((files, directories)),
            Err(e) => return Err(error(prefix, e)),
        };
        for name in names {
            let location = prefix.clone().join(name.as_str());
            if self.env.list(&self.file_path(&location)).is_ok() {
                if deep {
                    files.append(&mut self.walk(&location, true)?.0);
                }
                directories.push(location);
            } else {
                let len = self.file(&location)?.len().map_err(|e| error(&location, e))?;
                files.push(self.meta(&location, len));
            }
        }
        Ok((files, directories))
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("root", &self.root).finish_non_exhaustive()
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.root.display())
    }
}

fn error(location: &Path, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: Box::new(source) },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(source) },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: Box::new(source) },
        _ => Error::Generic { store: STORE, source: Box::new(source) },
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: STORE.into() }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if let PutMode::Update(_) = options.mode {
            return Err(not_implemented("put with PutMode::Update"));
        }
        self.put(location, &payload, &options.mode).map_err(|e| error(location, e))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(not_implemented("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let file = self.file(location)?;
        let len = file.len().map_err(|e| error(location, e))?;
        let meta = self.meta(location, len);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..len,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(len),
            Some(GetRange::Offset(start)) => *start..len,
            Some(GetRange::Suffix(n)) => len.saturating_sub(*n)..len,
        };
        let bytes = if options.head { Ok(Bytes::new()) } else { self.read(location, file.as_ref(), &range) };
        let payload = GetResultPayload::Stream(stream::iter([bytes]).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.file(location)?;
        ranges.iter().map(|range| self.read(location, file.as_ref(), range)).collect()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = LocalStore::new(Arc::clone(&self.env), self.root.clone());
        let delete = move |location: Result<Path>| location.and_then(|location| store.delete(&location).map(|()| location));
        locations.map(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.walk(&prefix.cloned().unwrap_or_default(), true) {
            Ok((files, _)) => stream::iter(files.into_iter().map(Ok)).boxed(),
            Err(e) => stream::iter([Err(e)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (objects, common_prefixes) = self.walk(&prefix.cloned().unwrap_or_default(), false)?;
        Ok(ListResult { common_prefixes, objects })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let file = self.file(from)?;
        let len = file.len().map_err(|e| error(from, e))?;
        let payload = PutPayload::from(self.read(from, file.as_ref(), &(0..len))?);
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.put(to, &payload, &mode).map_err(|e| error(to, e))
    }
}

/// Runs a future of a store whose futures complete at their first poll. None: this one did not.
pub(crate) fn complete_now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
