//! A server for a test, and a client that says exactly what it is told to.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{Env, RealEnv};
use server::{Auth, Config, Server};
use sql::{Instance, Options};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Running {
    pub server: Server,
    pub address: SocketAddr,
    pub instance: Arc<Instance>,
    pub env: Arc<dyn Env>,
    pub dir: TempDir,
}

/// A server on a new data directory that trusts user postgres.
pub async fn start() -> Running {
    start_with(|_, _| {}).await
}

/// The same, set up by `configure`, which also gets the data directory.
pub async fn start_with(configure: impl FnOnce(&mut Config, &Path)) -> Running {
    start_configured(Options::default(), configure).await
}

/// The same as [`start`], with an instance of these options.
pub async fn start_with_options(options: Options) -> Running {
    start_configured(options, |_, _| {}).await
}

async fn start_configured(options: Options, configure: impl FnOnce(&mut Config, &Path)) -> Running {
    let env: Arc<dyn Env> = RealEnv::new();
    let dir = tempfile::tempdir().unwrap();
    let instance = Instance::open(Arc::clone(&env), dir.path(), options).unwrap();
    let mut config = Config::new(vec!["127.0.0.1:0".parse().unwrap()], Auth::trust());
    configure(&mut config, dir.path());
    let server = Server::start(config, Arc::clone(&instance)).await.unwrap();
    let address = server.addresses()[0];
    Running { server, address, instance, env, dir }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Running {
    /// A connection that has said nothing.
    pub async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A connection that has logged in (under trust).
    pub async fn log_in(&self) -> Raw<TcpStream> {
        let mut raw = self.connect().await;
        raw.startup(3 << 16, &[("user", "postgres"), ("database", "postgres")]).await;
        raw.until_ready().await;
        raw
    }

    /// What a driver connects with.
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("postgres").dbname("postgres");
        config
    }

    /// A driver's connection.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// A backend message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Answer {
    /// A field of an error or notice; empty if it is not there.
    pub fn field(&self, field: u8) -> String {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?} has no fields");
        let fields = self.body.split(|byte| *byte == 0);
        let mut found =
            fields.filter(|text| text.first() == Some(&field)).map(|text| String::from_utf8_lossy(&text[1..]).into_owned());
        found.next_back().unwrap_or_default()
    }
}

/// A client on any stream.
pub struct Raw<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn new(stream: S) -> Raw<S> {
        Raw { stream, buffer: vec![] }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends what the server may not be there to take any more.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn startup(&mut self, version: u32, parameters: &[(&str, &str)]) {
        self.send(&startup_packet(version, parameters)).await;
    }

    pub async fn query(&mut self, text: &str) -> Vec<Answer> {
        self.send(&message(b'Q', &[text.as_bytes(), b"\0"])).await;
        self.until_ready().await
    }

    /// Exactly `n` bytes outside of any message.
    pub async fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n {
            assert!(self.more().await, "the connection was closed");
        }
        self.buffer.drain(..n).collect()
    }

    /// The next message; `None` at the end of the connection.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if self.buffer.len() >= 5 {
                let length = u32::from_be_bytes(self.buffer[1..5].try_into().unwrap()) as usize;
                if self.buffer.len() > length {
                    let message: Vec<u8> = self.buffer.drain(..=length).collect();
                    return Some(Answer { tag: message[0], body: message[5..].to_vec() });
                }
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "the connection ended within a message: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// The messages up to ReadyForQuery, which is the last of them.
    pub async fn until_ready(&mut self) -> Vec<Answer> {
        let mut answers = vec![];
        loop {
            let answer = self.answer().await.unwrap_or_else(|| panic!("the connection ended after {answers:?}"));
            answers.push(answer);
            if answers.last().unwrap().tag == b'Z' {
                return answers;
            }
        }
    }

    /// The messages up to the end of the connection.
    pub async fn until_end(&mut self) -> Vec<Answer> {
        let mut answers = vec![];
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end too: what was sent before it has been read.
        read.expect("the server neither answers nor closes").unwrap_or(0) > 0
    }
}

pub fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), &body].concat()
}

pub fn startup_packet(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    if !parameters.is_empty() {
        body.push(0);
    }
    [&(body.len() as u32 + 4).to_be_bytes(), &body[..]].concat()
}

/// The tags of messages, for assertions.
pub fn tags(answers: &[Answer]) -> String {
    answers.iter().map(|answer| char::from(answer.tag)).collect()
}

/// The one error among the messages.
pub fn error(answers: &[Answer]) -> &Answer {
    let errors: Vec<&Answer> = answers.iter().filter(|answer| answer.tag == b'E').collect();
    assert_eq!(errors.len(), 1, "{answers:?}");
    errors[0]
}

/// Waits until `ready` is true.
pub async fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..600 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 30 s: {what}");
}
