//! A data directory, opened in this process.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use env::{Env, RealEnv};
use sql::{Instance, Login, Options, Session};
use tokio::runtime::{Handle, Runtime};
use types::{SqlError, SqlState};

use crate::asynchronous::AsyncConnection;
use crate::connection::Connection;

/// An open data directory. Cheap to clone; closed when the last clone and the last connection are gone, or by
/// [`Database::close`].
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    instance: Arc<Instance>,
    /// What blocking calls run on.
    runtime: Option<Runtime>,
    /// The directory of a database in memory, removed at the end.
    _directory: Option<tempfile::TempDir>,
}

impl Database {
    /// Opens a data directory, creating it if it is not there, with default limits.
    ///
    /// Blocks while it recovers. Errors: 55006 if another process has it, XX001 if it is damaged, 58030 if it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Database, SqlError> {
        Database::open_with(path, Options::default())
    }

    /// As [`Database::open`], with limits and settings of your own.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Database, SqlError> {
        Database::start(path.as_ref(), options, None)
    }

    /// A database that nobody else sees and that is gone at the end. It lives in a temporary directory.
    pub fn in_memory() -> Result<Database, SqlError> {
        let io = |error: std::io::Error| SqlError::new(SqlState::IO_ERROR, format!("create a temporary directory: {error}"));
        let directory = tempfile::Builder::new().prefix("colonnade-").tempdir().map_err(io)?;
        let path = directory.path().to_owned();
        Database::start(&path, Options::default(), Some(directory))
    }

    fn start(path: &Path, options: Options, directory: Option<tempfile::TempDir>) -> Result<Database, SqlError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("colonnade")
            .thread_stack_size(sql::STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| SqlError::new(SqlState::INSUFFICIENT_RESOURCES, format!("start threads: {error}")))?;
        let env: Arc<dyn Env> = RealEnv::new();
        let instance = Instance::open(env, path, options)?;
        Ok(Database(Arc::new(Inner { instance, runtime: Some(runtime), _directory: directory })))
    }

    /// A connection whose calls block. To database `postgres`, as user `postgres`.
    pub fn connect(&self) -> Result<Connection, SqlError> {
        self.connect_as(default_login())
    }

    /// A connection whose calls block, to a database of your choice. Errors: 3D000.
    pub fn connect_as(&self, login: Login) -> Result<Connection, SqlError> {
        Ok(Connection::new(self.clone(), Session::new(Arc::clone(&self.0.instance), login)?))
    }

    /// A connection whose calls are awaited, on a runtime of yours: tokio's, with several threads.
    pub fn connect_async(&self) -> Result<AsyncConnection, SqlError> {
        self.connect_async_as(default_login())
    }

    /// A connection whose calls are awaited, to a database of your choice. Errors: 3D000.
    pub fn connect_async_as(&self, login: Login) -> Result<AsyncConnection, SqlError> {
        Ok(AsyncConnection::new(self.clone(), Session::new(Arc::clone(&self.0.instance), login)?))
    }

    /// Closes the database: what was acknowledged is on disk, and connections that still exist fail from now on. Blocks.
    pub fn close(&self) -> Result<(), SqlError> {
        self.0.instance.close()
    }

    /// What a server is started on.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.0.instance
    }

    /// Runs something awaited to its end, on this database's own threads.
    ///
    /// Panics when called from within a runtime: use an [`AsyncConnection`] there.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.wait_from(false, work)
    }

    /// The same; `anywhere`: it can begin outside of the runtime ([`Session::begins_anywhere`]). A read by key is done then without a
    /// reference counted to the runtime, which all threads would count at the same place.
    pub(crate) fn wait_from<T>(&self, anywhere: bool, work: impl Future<Output = T>) -> T {
        assert!(Handle::try_current().is_err(), "a call that blocks, from within a runtime: use an AsyncConnection there");
        let runtime = self.0.runtime.as_ref().expect("the runtime is taken only at the end");
        let mut work = pin!(work);
        // Whatever waits for nothing is done at the first look, before the runtime makes ready to wait.
        let entered = (!anywhere).then(|| runtime.enter());
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        drop(entered);
        runtime.block_on(work)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: the last handle may be dropped on a thread of some runtime.
            runtime.shutdown_background();
        }
    }
}

fn default_login() -> Login {
    Login { database: "postgres".into(), user: "postgres".into(), ..Login::default() }
}
