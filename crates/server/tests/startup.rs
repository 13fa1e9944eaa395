//! Connecting: encryption, versions, limits, refusals.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Raw, error, fixture, message, start, start_with, startup_packet, tags};
use env::RealEnv;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use server::{Auth, Config, Server, StartError, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const V3_0: u32 = 3 << 16;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const WHO: &[(&str, &str)] = &[("user", "postgres"), ("database", "postgres")];

fn tls() -> Tls {
    Tls::load(&*RealEnv::new(), &fixture("server.crt"), &fixture("server.key")).unwrap()
}

async fn handshake(stream: TcpStream, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("server.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_encrypted_when_asked_for() {
    let running = start_with(|config, _| config.tls = Some(tls())).await;
    let mut raw = running.connect().await;
    raw.startup(SSL_REQUEST, &[]).await;
    assert_eq!(raw.bytes(1).await, b"S");
    let mut raw = Raw::new(handshake(raw.stream, &[]).await.unwrap());
    raw.startup(V3_0, WHO).await;
    assert!(tags(&raw.until_ready().await).starts_with('R'));
    assert_eq!(tags(&raw.query("").await), "IZ");
    // Once is enough: a second request is no version we know.
    let mut again = running.connect().await;
    again.startup(SSL_REQUEST, &[]).await;
    again.bytes(1).await;
    let mut again = Raw::new(handshake(again.stream, &[]).await.unwrap());
    again.startup(SSL_REQUEST, &[]).await;
    assert_eq!(error(&again.until_end().await).field(b'C'), "0A000");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_the_client_is_told_there_is_no_encryption() {
    let running = start().await;
    let mut raw = running.connect().await;
    raw.startup(SSL_REQUEST, &[]).await;
    assert_eq!(raw.bytes(1).await, b"N");
    raw.startup(GSSENC_REQUEST, &[]).await;
    assert_eq!(raw.bytes(1).await, b"N");
    raw.startup(V3_0, WHO).await;
    raw.until_ready().await;
}

/// CVE-2021-23214: what someone in the middle puts behind the request in the clear must not be taken for the client's own words.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_request_for_encryption_end_the_connection() {
    for tls in [None, Some(tls())] {
        let running = start_with(|config, _| config.tls = tls).await;
        for (request, name) in [(SSL_REQUEST, "SSL"), (GSSENC_REQUEST, "GSSAPI encryption")] {
            let mut raw = running.connect().await;
            let packets = [startup_packet(request, &[]), startup_packet(V3_0, WHO), message(b'Q', &[b"select 1\0"])].concat();
            raw.send(&packets).await;
            let answers = raw.until_end().await;
            assert_eq!(tags(&answers), "E");
            assert_eq!(answers[0].field(b'M'), format!("received unencrypted data after {name} request"));
            assert_eq!((answers[0].field(b'S'), answers[0].field(b'C')), ("FATAL".into(), "08P01".into()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_request_must_name_the_protocol() {
    let running = start_with(|config, _| config.tls = Some(tls())).await;
    let connect = || TcpStream::connect(running.address);
    let mut raw = Raw::new(handshake(connect().await.unwrap(), &[b"postgresql"]).await.unwrap());
    raw.startup(V3_0, WHO).await;
    raw.until_ready().await;
    let mut nameless = Raw::new(handshake(connect().await.unwrap(), &[]).await.unwrap());
    let answers = nameless.until_end().await;
    assert_eq!(error(&answers).field(b'C'), "08P01");
    assert!(handshake(connect().await.unwrap(), &[b"h2"]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_setup_that_does_not_work_is_an_error() {
    let env = RealEnv::new();
    let load = |certificate: &str, key: &str| Tls::load(&*env, &fixture(certificate), &fixture(key)).unwrap_err().to_string();
    assert!(load("missing.crt", "server.key").contains("missing.crt"));
    assert!(load("server.key", "server.key").contains("there is none"));
    assert!(load("server.crt", "server.crt").contains("a private key"));
    assert!(load("server.crt", "other.key").contains("use the certificate and its key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_negotiated() {
    let running = start().await;
    let key_length = |answers: &[common::Answer]| answers.iter().find(|answer| answer.tag == b'K').unwrap().body.len() - 4;
    let mut old = running.connect().await;
    old.startup(V3_0, WHO).await;
    let answers = old.until_ready().await;
    assert!(tags(&answers).starts_with('R'), "{}", tags(&answers));
    assert_eq!(key_length(&answers), 4);

    let mut new = running.connect().await;
    new.startup(V3_0 | 2, WHO).await;
    let answers = new.until_ready().await;
    assert!(tags(&answers).starts_with('R'));
    assert_eq!(key_length(&answers), 32);

    let mut newer = running.connect().await;
    newer.startup(V3_0 | 9999, &[WHO, &[("_pq_.test", "1")]].concat()).await;
    let answers = newer.until_ready().await;
    assert!(tags(&answers).starts_with("vR"), "{}", tags(&answers));
    assert_eq!(answers[0].body, [&(V3_0 | 2).to_be_bytes()[..], &1u32.to_be_bytes(), b"_pq_.test\0"].concat());

    for version in [2 << 16, 4 << 16, u32::MAX] {
        let mut other = running.connect().await;
        other.startup(version, WHO).await;
        let answers = other.until_end().await;
        assert_eq!((error(&answers).field(b'S'), error(&answers).field(b'C')), ("FATAL".into(), "0A000".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_must_exist() {
    let running = start().await;
    let mut raw = running.connect().await;
    raw.startup(V3_0, &[("user", "somebody")]).await;
    let answers = raw.until_end().await;
    assert_eq!(error(&answers).field(b'C'), "28000");
    assert_eq!(error(&answers).field(b'M'), "role \"somebody\" does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_too_many_is_told_so_and_a_free_place_is_taken() {
    let running = start_with(|config, _| config.connections_max = 2).await;
    let (first, _second) = (running.log_in().await, running.log_in().await);
    let mut third = running.connect().await;
    third.startup(V3_0, WHO).await;
    let answers = third.until_end().await;
    assert_eq!(error(&answers).field(b'C'), "53300");
    assert_eq!(error(&answers).field(b'M'), "sorry, too many clients already");
    drop((first, third));
    common::eventually("the first session is gone", || running.server.connections() == 1).await;
    running.log_in().await;
}

/// A pool that starts opens all its connections before one of them has logged in.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_there_may_be_sessions_log_in_at_once() {
    const SESSIONS: usize = 80;
    let running = start_with(|config, _| config.connections_max = SESSIONS).await;
    let mut clients = vec![];
    for _ in 0..SESSIONS {
        clients.push(running.connect().await);
    }
    common::eventually("all are accepted", || running.server.connections() == SESSIONS).await;
    for client in &mut clients {
        client.startup(V3_0, WHO).await;
        assert!(tags(&client.until_ready().await).ends_with('Z'));
    }
}

/// Who was refused kept its socket for a second, to read why.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_refused_take_no_place_from_those_who_log_in() {
    let running = start_with(|config, _| config.connections_max = 2).await;
    let mut refused = vec![];
    for _ in 0..200 {
        let mut raw = running.connect().await;
        raw.startup(7 << 16, WHO).await;
        refused.push(raw);
    }
    tokio::time::timeout(Duration::from_millis(900), running.log_in()).await.unwrap();
}

/// Connections that say nothing had all sockets for a minute, and whoever wanted to log in was turned away.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_take_no_place_from_those_who_log_in() {
    let running = start_with(|config, _| config.connections_max = 2).await;
    let mut session = running.log_in().await;
    let mut silent = vec![];
    for _ in 0..100 {
        let mut raw = running.connect().await;
        // Some of them have said half of who they are.
        raw.send(&startup_packet(V3_0, WHO)[..silent.len() % 3]).await;
        silent.push(raw);
    }
    let mut late = running.log_in().await;
    assert_eq!(tags(&late.query("").await), "IZ");
    assert_eq!(tags(&session.query("").await), "IZ");
    common::eventually("the others are closed", || running.server.connections() <= 2 + (2 + 16)).await;
    let answers = silent[0].until_end().await;
    assert_eq!(error(&answers).field(b'C'), "53300");
    assert_eq!(error(&answers).field(b'M'), "too many connections are logging in");
    drop(silent);
    common::eventually("all are closed", || running.server.connections() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_log_in_is_closed() {
    let running = start_with(|config, _| config.startup_timeout = Duration::from_millis(300)).await;
    let mut silent = running.connect().await;
    let mut halfway = running.connect().await;
    halfway.send(&startup_packet(V3_0, WHO)[..7]).await;
    for raw in [&mut silent, &mut halfway] {
        let answers = raw.until_end().await;
        assert_eq!(error(&answers).field(b'M'), "canceling authentication due to timeout");
    }
    let mut in_time = running.log_in().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(tags(&in_time.query("").await), "IZ", "the limit is for logging in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_startup_packet_is_small() {
    let running = start().await;
    for length in [0, 3, 4, 7, 10_001, 600_000_000, u32::MAX] {
        let mut raw = running.connect().await;
        raw.send(&length.to_be_bytes()).await;
        let answers = raw.until_end().await;
        assert_eq!(error(&answers).field(b'M'), "invalid length of startup packet", "{length}");
    }
    let mut long = running.connect().await;
    long.startup(V3_0, &[("user", "postgres"), ("application_name", &"x".repeat(9_900))]).await;
    long.until_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_is_for_loopback_only() {
    let running = start().await;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let config = Config::new(vec!["127.0.0.1:0".parse().unwrap(), address.parse().unwrap()], Auth::trust());
        let started = Server::start(config, Arc::clone(&running.instance)).await;
        assert!(matches!(started, Err(StartError::TrustBeyondLoopback(_))), "{address}");
    }
    let taken = Config::new(vec![running.address], Auth::trust());
    assert!(matches!(Server::start(taken, Arc::clone(&running.instance)).await, Err(StartError::Listen { .. })));
    let nowhere = Config::new(vec![], Auth::trust());
    assert!(matches!(Server::start(nowhere, Arc::clone(&running.instance)).await, Err(StartError::NoAddress)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_gets_no_answer() {
    let running = start().await;
    for body in [&b""[..], &[0, 0, 0, 1], &[0, 0, 0, 1, 9, 9, 9, 9], &[0; 200]] {
        let mut raw = running.connect().await;
        let packet = [&(8 + body.len() as u32).to_be_bytes()[..], &80_877_102u32.to_be_bytes(), body].concat();
        raw.send(&packet).await;
        assert_eq!(tokio::time::timeout(PATIENCE, raw.answer()).await.unwrap(), None);
    }
}
