//! The manifest: the whole database as of one commit, as a list of what is needed to load it.
//!
//! ```text
//! manifest/00000000000000000007.mf = v7: as of F, log position of F, counters, catalog, per table { segments, dead rows, dump }
//! install v8:  write 8.tmp, sync --> link as 8.mf --> sync directory --> 8.copy       the link is the moment v8 becomes the truth
//! ```
//!
//! 1. A file counts only if the newest manifest lists it, with its length and checksum. Everything else is garbage.
//! 2. A manifest is complete or absent: its name is given after its bytes are on disk.
//! 3. Versions only grow, and a version is installed once: a second writer's attempt fails.
//! 4. It is there twice, since without it nothing else can be read: if the newest is damaged or lost, its copy counts. A copy that is
//!    not there, as after a crash, is made again by the next opening. If both are damaged, opening fails and says so. An older one would name files that may be gone, and the log since then may have been truncated:
//!    going back silently would lose commits.
//!
//! Byte table: `docs/format.md`, Manifest. Source: LevelDB's and Iceberg's version lists; ours has no deltas, since it is small.

use std::io;
use std::path::{Path, PathBuf};

use env::{Env, OpenMode};
use types::{CommitTs, Lsn, Oid, SegmentId, TableId};

use crate::codec::{Decoder, Encoder};
use crate::deletion::DeletionVector;
use crate::dump::DumpInfo;
use crate::error::{Result, SegmentError};
use crate::files::{self, FileName};
use crate::info::SegmentFileInfo;

const MAGIC: &[u8; 8] = b"CLNDMFT\n";
const VERSION: u32 = 1;

/// The database as of `ts`, see the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Its own number, greater than every manifest's before it.
    pub version: u64,
    /// F: everything committed at or before it is in here, nothing after it.
    pub ts: CommitTs,
    /// Where the log goes on after F.
    pub lsn: Lsn,
    /// The next segment gets this id.
    pub next_segment: SegmentId,
    /// The next catalog object gets this id.
    pub next_oid: Oid,
    /// The catalog as of F, in its own encoding.
    pub catalog: Vec<u8>,
    /// Every table that has storage.
    pub tables: Vec<ManifestTable>,
    /// More that the engine wants to keep, in its own encoding.
    pub extra: Vec<u8>,
}

/// One table's storage in a manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestTable {
    /// The table.
    pub table: TableId,
    /// The next hidden row id.
    pub next_rowid: u64,
    /// Segments that are visible at F.
    pub segments: Vec<ManifestSegment>,
    /// The rows that are in no segment; None if there are none.
    pub dump: Option<DumpInfo>,
}

/// One segment in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestSegment {
    /// The segment.
    pub id: SegmentId,
    /// Its files.
    pub info: SegmentFileInfo,
    /// The first timestamp that reads it.
    pub from: CommitTs,
    /// Its rows that are dead as of F.
    pub dead: DeletionVector,
}

impl ManifestTable {
    /// The names in the table's directory that this manifest needs.
    pub fn files(&self) -> Vec<FileName> {
        let segments = self.segments.iter().flat_map(|segment| {
            let dead = match segment.dead {
                DeletionVector::File { ts, .. } => Some(FileName::Deletions(segment.id, ts)),
                DeletionVector::Empty | DeletionVector::Inline(_) => None,
            };
            [Some(FileName::Segment(segment.id)), Some(FileName::Sidecar(segment.id)), dead].into_iter().flatten()
        });
        segments.chain(self.dump.map(|dump| FileName::Dump(dump.version))).collect()
    }
}

impl Manifest {
    /// As bytes, with a CRC.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.raw(MAGIC);
        out.u32(VERSION);
        out.u64(self.version);
        out.u64(self.ts.0);
        out.u64(self.lsn.0);
        out.u64(self.next_segment.0);
        out.u32(self.next_oid.0);
        out.bytes(&self.catalog);
        out.count(self.tables.len());
        for table in &self.tables {
            out.u32(table.table.0);
            out.u64(table.next_rowid);
            out.count(table.segments.len());
            for segment in &table.segments {
                out.u64(segment.id.0);
                segment.info.encode(&mut out);
                out.u64(segment.from.0);
                segment.dead.encode(&mut out);
            }
            out.u8(u8::from(table.dump.is_some()));
            if let Some(dump) = &table.dump {
                dump.encode(&mut out);
            }
        }
        out.bytes(&self.extra);
        out.finish_with_crc()
    }

    /// From the bytes of [`Manifest::encode`]; `path` is for errors. Errors: `Checksum`, `Damaged`, `Version`.
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Manifest> {
        let mut from = Decoder::with_crc(path, bytes)?;
        if from.raw(8)? != MAGIC {
            return Err(SegmentError::damaged(path, 0, "not a manifest"));
        }
        let found = from.u32()?;
        if found != VERSION {
            return Err(SegmentError::Version { path: path.to_path_buf(), found, supported: VERSION });
        }
        let (version, ts, lsn) = (from.u64()?, CommitTs(from.u64()?), Lsn(from.u64()?));
        let (next_segment, next_oid) = (SegmentId(from.u64()?), Oid(from.u32()?));
        let catalog = from.bytes()?.to_vec();
        let n = from.count(17)?;
        let tables = (0..n).map(|_| decode_table(&mut from)).collect::<Result<Vec<_>>>()?;
        let extra = from.bytes()?.to_vec();
        from.finish()?;
        Ok(Manifest { version, ts, lsn, next_segment, next_oid, catalog, tables, extra })
    }

    /// Makes this the newest manifest in `dir` (created if absent): atomic, and durable when it returns. Every file it lists must
    /// be durable already.
    ///
    /// Errors: `Io` with `AlreadyExists` if its version is taken; `Io`. After an error other than a full disk it is unknown whether
    /// it counts: close and open again.
    pub fn install(env: &dyn Env, dir: &Path, manifest: &Manifest) -> Result<()> {
        env.create_dir_all(dir).map_err(SegmentError::io("create directory", dir))?;
        let path = dir.join(files::manifest(manifest.version));
        let temporary = path.with_extension("tmp");
        let failed = |action| SegmentError::io(action, &path);
        let bytes = manifest.encode();
        if env.exists(&temporary).map_err(failed("write manifest"))? {
            env.unlink(&temporary).map_err(failed("write manifest"))?;
        }
        let file = env.open(&temporary, OpenMode::CreateNew).map_err(failed("write manifest"))?;
        file.write_all_at(&bytes, 0).map_err(failed("write manifest"))?;
        env::point(env, "manifest: written");
        file.sync_data().map_err(failed("sync manifest"))?;
        env::point(env, "manifest: synced");
        let linked = env.link(&temporary, &path).map_err(failed("name manifest"));
        env::point(env, "manifest: named");
        let removed = env.unlink(&temporary);
        linked?;
        env::point(env, "manifest: temporary name removed");
        env.sync_dir(dir).map_err(SegmentError::io("sync directory", dir))?;
        // The manifest counts whether or not its temporary name could be removed; as garbage it disappears later.
        if let Err(error) = removed {
            tracing::warn!(path = %temporary.display(), %error, "cannot remove a temporary name");
        }
        write_copy(env, dir, manifest.version, &bytes);
        Ok(())
    }

    /// Writes the copy of the manifest that was loaded again, unless it is as it should be.
    pub fn restore_copy(env: &dyn Env, dir: &Path, manifest: &Manifest) {
        let copy = dir.join(files::manifest_copy(manifest.version));
        if Manifest::load(env, &copy, manifest.version).is_ok_and(|found| found == *manifest) {
            return;
        }
        write_copy(env, dir, manifest.version, &manifest.encode());
    }

    /// The newest manifest in `dir`, or its copy if it is damaged or lost; None if there is none, also if there is no directory.
    /// Errors: `Checksum`, `Damaged`, `Version` if neither can be believed, naming the file; `Io`.
    pub fn load_newest(env: &dyn Env, dir: &Path) -> Result<Option<Manifest>> {
        let newest = match Manifest::list(env, dir)?.pop() {
            Some(newest) => newest,
            None => {
                match list_of(env, dir, |file| if let FileName::ManifestCopy(version) = file { Some(version) } else { None })?
                    .pop()
                {
                    Some((version, _)) => (version, dir.join(files::manifest(version))),
                    None => return Ok(None),
                }
            }
        };
        let (version, path) = newest;
        let error = match Manifest::load(env, &path, version) {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(error) => error,
        };
        let copy = dir.join(files::manifest_copy(version));
        match Manifest::load(env, &copy, version) {
            Ok(manifest) => {
                tracing::error!(%error, copy = %copy.display(), "the copy of the manifest is used");
                Ok(Some(manifest))
            }
            Err(of_copy) => {
                tracing::error!(error = %of_copy, "the copy of the manifest cannot be used either");
                Err(error)
            }
        }
    }

    /// The manifest in the file `path`, which has to be version `version`. Errors: `Missing`, `Checksum`, `Damaged`, `Version`, `Io`.
    fn load(env: &dyn Env, path: &Path, version: u64) -> Result<Manifest> {
        let bytes = env::read_file(env, path).map_err(SegmentError::io("read manifest", path))?;
        let manifest = Manifest::decode(path, &bytes)?;
        if manifest.version != version {
            return Err(SegmentError::damaged(path, 12, format!("it is version {}", manifest.version)));
        }
        Ok(manifest)
    }

    /// Compares the manifest of this version, and its copy, with `expected`. Returns what is wrong.
    pub fn verify(env: &dyn Env, dir: &Path, expected: &Manifest) -> Vec<SegmentError> {
        let names = [files::manifest(expected.version), files::manifest_copy(expected.version)];
        let differs = |path: &Path| match Manifest::load(env, path, expected.version) {
            Ok(found) if found == *expected => None,
            Ok(_) => Some(SegmentError::damaged(path, 0, "it is not what was installed")),
            Err(error) => Some(error),
        };
        names.iter().filter_map(|name| differs(&dir.join(name))).collect()
    }

    /// Versions and paths of the manifests in `dir`, oldest first.
    pub fn list(env: &dyn Env, dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
        list_of(env, dir, |file| if let FileName::Manifest(version) = file { Some(version) } else { None })
    }

    /// Removes manifests older than `version`, and names left behind by writes that did not finish. Returns how many manifests.
    pub fn remove_older_than(env: &dyn Env, dir: &Path, version: u64) -> Result<usize> {
        let mut removed = 0;
        for (_, path) in Manifest::list(env, dir)?.into_iter().filter(|(found, _)| *found < version) {
            env.unlink(&path).map_err(SegmentError::io("remove manifest", &path))?;
            removed += 1;
        }
        let of_copy = |file| if let FileName::ManifestCopy(version) = file { Some(version) } else { None };
        for (_, path) in list_of(env, dir, of_copy)?.into_iter().filter(|(found, _)| *found < version) {
            env.unlink(&path).map_err(SegmentError::io("remove copy of manifest", &path))?;
        }
        for name in env.list(dir).map_err(SegmentError::io("list manifests", dir))? {
            if files::parse(&name) == Some(FileName::Temporary) {
                let path = dir.join(name);
                env.unlink(&path).map_err(SegmentError::io("remove temporary file", &path))?;
            }
        }
        env.sync_dir(dir).map_err(SegmentError::io("sync directory", dir))?;
        Ok(removed)
    }
}

/// A database without the copy is whole: an error is told, and no more.
fn write_copy(env: &dyn Env, dir: &Path, version: u64, bytes: &[u8]) {
    let copy = dir.join(files::manifest_copy(version));
    if let Err(error) = env::write_file_atomically(env, &copy, bytes) {
        tracing::warn!(path = %copy.display(), %error, "cannot write the copy of a manifest");
    }
}

/// Versions and paths of the files in `dir` that `version_of` knows, oldest first.
fn list_of(env: &dyn Env, dir: &Path, version_of: impl Fn(FileName) -> Option<u64>) -> Result<Vec<(u64, PathBuf)>> {
    let names = match env.list(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(SegmentError::io("list manifests", dir)(e)),
    };
    let version = |name: &String| files::parse(name).and_then(&version_of);
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((version(name)?, dir.join(name)))).collect();
    found.sort();
    Ok(found)
}

fn decode_table(from: &mut Decoder<'_>) -> Result<ManifestTable> {
    let (table, next_rowid) = (TableId(from.u32()?), from.u64()?);
    let n = from.count(41)?;
    let segment = |from: &mut Decoder<'_>| {
        Ok(ManifestSegment {
            id: SegmentId(from.u64()?),
            info: SegmentFileInfo::decode(from)?,
            from: CommitTs(from.u64()?),
            dead: DeletionVector::decode(from)?,
        })
    };
    let segments = (0..n).map(|_| segment(from)).collect::<Result<Vec<_>>>()?;
    let dump = match from.u8()? {
        0 => None,
        1 => Some(DumpInfo::decode(from)?),
        other => return Err(from.refuse(format!("{other} is no dump"))),
    };
    Ok(ManifestTable { table, next_rowid, segments, dump })
}
