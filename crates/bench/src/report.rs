//! What stands beside every figure: the machine, the moment, the server, the command.

use std::process::Command;

use serde::Serialize;

use crate::target::{BenchError, Target};

/// The machine a driver runs on (and, for a server on loopback, the server's too).
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// The processor's own name.
    pub processor: String,
    /// Memory in MiB; 0 when the system does not say.
    pub memory_mib: u64,
    /// Kernel name and release.
    pub kernel: String,
}

impl Machine {
    /// Asks the operating system. What it does not say stays empty: a report is never lost for want of it.
    pub fn inspect() -> Machine {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Machine {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            processor: field(&text("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_mib: field(&text("/proc/meminfo"), "MemTotal")
                .and_then(|value| value.trim_end_matches("kB").trim().parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: format!("{} {}", std::env::consts::OS, text("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// A server that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Its URL without a password.
    pub url: String,
    /// What it answers to `select version()`.
    pub version: String,
}

impl Server {
    /// Connects to each of `targets` and asks it who it is. Errors: connecting, and the statement's.
    pub async fn identify(targets: &[Target]) -> Result<Vec<Server>, BenchError> {
        let mut servers = Vec::new();
        for target in targets {
            let version = target.connect().await?.text_value("ask for the version", "select version()").await?;
            servers.push(Server { url: target.to_string(), version });
        }
        Ok(servers)
    }
}

/// A run's figures with all that is needed to repeat them.
#[derive(Clone, Debug, Serialize)]
pub struct Report<T: Serialize> {
    /// The suite and command, such as "tpch run".
    pub suite: String,
    /// When the report was made, UTC.
    pub time: String,
    /// The source revision of the driver, if it runs in a git checkout.
    pub revision: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// What it measured.
    pub servers: Vec<Server>,
    /// The figures.
    pub figures: T,
}

impl<T: Serialize> Report<T> {
    /// Puts time, machine, revision and command line beside `figures`. The command line's URLs lose their passwords.
    pub fn new(suite: &str, servers: Vec<Server>, figures: T) -> Report<T> {
        Report {
            suite: suite.to_owned(),
            time: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            revision: revision(),
            command: std::env::args().map(|word| crate::target::without_password(&word)).collect(),
            machine: Machine::inspect(),
            servers,
            figures,
        }
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys and finite numbers only")
    }

    /// The lines that go under a table.
    pub fn footer(&self) -> String {
        let Machine { cores, processor, memory_mib, kernel } = &self.machine;
        let mut lines = format!("{} on {cores} cores, {processor}, {memory_mib} MiB, {kernel}", self.time);
        for server in &self.servers {
            lines.push_str(&format!("\n{}: {}", server.url, server.version));
        }
        lines
    }
}

fn revision() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json_with_the_machine_beside_the_figures() {
        let report = Report::new("suite run", Vec::new(), [1, 2, 3]);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["figures"], serde_json::json!([1, 2, 3]));
        assert!(json["machine"]["cores"].as_u64().unwrap() >= 1);
        assert!(json["time"].as_str().unwrap().ends_with('Z'));
    }
}
