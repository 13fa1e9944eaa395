//! The server under the mixed run: one that is there, or one that is started, killed and started again.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bench::Target;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::Failure;

/// What a server logs (level `engine=debug`) when background work begins and ends.
const BEGINS: [&str; 3] = ["freezing rows", "compacting segments", "making a checkpoint"];
const ENDS: [&str; 3] = ["froze rows", "compacted segments", "made a checkpoint"];

/// A restart that takes longer is a failure.
const START_MAX: Duration = Duration::from_secs(120);

/// How to run the server, or where it is.
pub(super) struct Serve {
    /// Words of a command that prints `listening on HOST:PORT`.
    pub(super) command: Vec<String>,
    /// Where its standard error goes, appended.
    pub(super) log: PathBuf,
}

/// A server that was started here.
pub(super) struct Running {
    child: Child,
    pub(super) target: Target,
    /// From the start of the process until it took connections.
    pub(super) took: Duration,
}

/// Background work found in the log, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Background {
    pub(super) freezes: usize,
    pub(super) compactions: usize,
    pub(super) checkpoints: usize,
    /// Kills that came while one of them was at work.
    pub(super) cut_off: usize,
}

impl Serve {
    /// Starts it. Errors: it ends, or does not listen within [`START_MAX`].
    pub(super) async fn start(&self) -> Result<Running, Failure> {
        let started = Instant::now();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let (program, arguments) = self.command.split_first().ok_or("--serve is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("start {program}: {error}"))?;
        let output = child.stdout.take().ok_or("no output of the server")?;
        let mut lines = BufReader::new(output).lines();
        let address = timeout(START_MAX, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening on ") {
                    return Ok(address.to_owned());
                }
            }
            Err(Failure::from(format!("the server does not start; see {}", self.log.display())))
        })
        .await
        .map_err(|_| format!("the server has not started within {START_MAX:?}"))??;
        let target = Target::parse(&format!("postgres://postgres@{address}/postgres"))?;
        Ok(Running { child, target, took: started.elapsed() })
    }

    /// Counts what the log has; a begin that is followed by no end of its kind in the same life of the server was cut off.
    pub(super) fn background(&self) -> Result<Background, Failure> {
        let text = std::fs::read_to_string(&self.log)?;
        let ends = |index: usize| text.lines().filter(|line| line.contains(ENDS[index])).count();
        let begun: usize = BEGINS.iter().map(|begin| text.lines().filter(|line| line.contains(begin)).count()).sum();
        let (freezes, compactions, checkpoints) = (ends(0), ends(1), ends(2));
        Ok(Background { freezes, compactions, checkpoints, cut_off: begun.saturating_sub(freezes + compactions + checkpoints) })
    }
}

impl Running {
    /// Ends it at once, as `kill -9` does.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Ends it as SIGTERM does. Errors: it does not end well.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let id = self.child.id().ok_or("the server has ended by itself")?;
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        let status = timeout(START_MAX, self.child.wait()).await.map_err(|_| "the server does not stop")??;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }

    /// An error if it has ended by itself.
    pub(super) fn alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the server ended by itself with {status}").into()),
        }
    }
}
