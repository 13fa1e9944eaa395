//! `colonnade serve`: a data directory to PostgreSQL clients, until it is told to stop.
//!
//! ```text
//!   SIGTERM, SIGINT   accept nobody, let transactions end (--grace), close; a second one: end sessions now, close
//!   SIGHUP            read the log level from the configuration file again
//! ```
//!
//! 1. `listening on ADDRESS` goes to standard output, a line an address, once clients can connect.
//! 2. The password comes from COLONNADE_PASSWORD or --password-file; without either a new directory gets a random one, printed
//!    once. Only its verifier is kept.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use env::{Env, RealEnv};
use server::{Server, Shutdown, StartError, Tls, credentials};
use sql::Instance;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Auth, Config};
use crate::exit::{Failure, warn};
use crate::{files, freed_memory, log};

const EXAMPLES: &str = "\
Examples:
  colonnade serve --data shop
  COLONNADE_PASSWORD=secret colonnade serve --data shop --listen 0.0.0.0:5433 --log-format json
  colonnade serve --data scratch --auth trust        loopback only, for tests

The directory is made at first use, with database and superuser postgres.
SIGTERM or SIGINT stop it cleanly, a second one at once; SIGHUP reads the log level from the configuration file again.";

#[derive(clap::Args)]
#[command(
    after_help = format!("{EXAMPLES}\n--help shows what a configuration file may have."),
    after_long_help = format!("{EXAMPLES}\n\nA configuration file has some of this; all but connection_threads, [memory],\n[tls] and [settings] is as built in:\n\n{}", config::EXAMPLE)
)]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address and port, more than once if wanted; port 0 takes a free one [default: 127.0.0.1:5433].
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// How clients prove who they are [default: scram].
    #[arg(long, value_enum)]
    auth: Option<Auth>,
    /// A file whose first line is the superuser's password from now on.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A configuration file (TOML): addresses, limits, TLS, settings. Flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of the log on standard error [default: text].
    #[arg(long, value_enum)]
    log_format: Option<log::Format>,
    /// error, warn, info, debug, trace, or a filter such as info,server=debug [default: info].
    #[arg(long)]
    log_level: Option<String>,
    /// Seconds that transactions have to end after SIGTERM or SIGINT.
    #[arg(long, default_value_t = 30)]
    grace: u64,
}

const LISTEN_DEFAULT: &str = "127.0.0.1:5433";
const LOG_LEVEL_DEFAULT: &str = "info";

/// Serves until a signal.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    crate::run(config.connection_threads, run_with(arguments, config))
}

async fn run_with(arguments: Arguments, config: Config) -> Result<ExitCode, Failure> {
    let level_of = |config: &Config| {
        let level = arguments.log_level.clone().or_else(|| config.log.level.clone());
        level.unwrap_or_else(|| LOG_LEVEL_DEFAULT.to_owned())
    };
    let level = log::start(arguments.log_format.or(config.log.format).unwrap_or_default(), &level_of(&config))?;
    let mut signals = Signals::new()?;

    // A port that is taken is said before a directory is made.
    for address in addresses(&arguments, &config)? {
        std::net::TcpListener::bind(address).map_err(|error| cannot_listen(&format!("cannot listen on {address}: {error}")))?;
    }
    let env = RealEnv::new();
    let options = config.database_options()?;
    let freed_memory = freed_memory::keep(env.as_ref(), &options);
    let instance = open(Arc::clone(&env), &arguments.data, options).await?;
    let served = serve(&arguments, &config, env.as_ref(), &instance, &mut signals, &mut || {
        // A flag, if there was one, stays in force.
        let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let now = level_of(&config);
        level.set(&now)?;
        tracing::info!(level = now, "log level read again");
        Ok(())
    })
    .await;
    let closed = tokio::task::spawn_blocking(move || instance.close()).await;
    freed_memory.stop();
    served?;
    closed.map_err(|error| Failure::during("close the database", error))??;
    tracing::info!("closed");
    Ok(ExitCode::SUCCESS)
}

/// Opens (or makes) a data directory on a thread that may block.
pub(crate) async fn open(env: Arc<RealEnv>, dir: &Path, options: sql::Options) -> Result<Arc<Instance>, Failure> {
    let dir = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || Instance::open(env, &dir, options)).await;
    Ok(opened.map_err(|error| Failure::during("open the database", error))??)
}

async fn serve(
    arguments: &Arguments,
    config: &Config,
    env: &dyn Env,
    instance: &Arc<Instance>,
    signals: &mut Signals,
    reload: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let listen = addresses(arguments, config)?;
    let auth = match arguments.auth.or(config.auth).unwrap_or(Auth::Scram) {
        Auth::Trust => server::Auth::trust(),
        Auth::Scram => server::Auth::Scram(credentials(arguments, env)?),
    };
    let mut settings = server::Config::new(listen, auth);
    if let Some(tls) = &config.tls {
        let tls = Tls::load(env, &tls.certificate, &tls.key).map_err(|error| Failure::during("offer TLS", error))?;
        settings.tls = Some(tls);
    }
    if let Some(max) = config.max_connections {
        settings.connections_max = max.get();
    }
    let server = Server::start(settings, Arc::clone(instance)).await.map_err(|error| match error {
        StartError::TrustBeyondLoopback(_) => {
            Failure::new(error.to_string()).next("listen on 127.0.0.1 only, or leave --auth to its default, scram")
        }
        _ => cannot_listen(&error.to_string()),
    })?;
    announce(server.addresses())?;

    while signals.next().await == Told::Reload {
        if let Err(failure) = reload() {
            tracing::error!("{}", failure.message());
        }
    }
    let grace = Duration::from_secs(arguments.grace);
    let stopped = server.shutdown(Shutdown::Smart, grace);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            told = signals.next() => if told == Told::Stop {
                // Dropping the shutdown drops the server, which ends every connection.
                tracing::warn!("second signal: ending sessions now");
                return Ok(());
            }
        }
    }
}

fn cannot_listen(error: &str) -> Failure {
    Failure::new(error.to_owned()).next("choose another address with --listen, or port 0 for a free one")
}

fn addresses(arguments: &Arguments, config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let given = match (&arguments.listen[..], &config.listen) {
        ([], Some(listen)) => listen.clone(),
        ([], None) => vec![LISTEN_DEFAULT.to_owned()],
        (listen, _) => listen.to_vec(),
    };
    let mut addresses = Vec::new();
    for text in given {
        let found = text.to_socket_addrs().map_err(|error| {
            Failure::usage(format!("listen on {text:?}: {error}")).next("an address is like 127.0.0.1:5433 or [::1]:5433")
        })?;
        addresses.extend(found);
    }
    Ok(addresses)
}

fn credentials(arguments: &Arguments, env: &dyn Env) -> Result<server::Credentials, Failure> {
    let password = match &arguments.password_file {
        Some(file) => Some(files::read_text(file)?.lines().next().unwrap_or_default().to_owned()),
        None => std::env::var("COLONNADE_PASSWORD").ok(),
    };
    let (credentials, generated) =
        credentials::load_or_create(env, &arguments.data, password).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(generated) = generated {
        warn(&format!(
            "The password of user postgres is {generated}\n\
             It is not shown again. Set another one with COLONNADE_PASSWORD or --password-file at any start."
        ));
    }
    Ok(credentials)
}

/// Tells scripts and people where clients can connect.
fn announce(addresses: &[SocketAddr]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let lines: String = addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    output
        .write_all(lines.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::during("write to standard output", error))
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Signals, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::during("listen to signals", error));
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for one that says stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}
