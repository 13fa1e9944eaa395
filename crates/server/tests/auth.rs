//! Logging in with a password.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Raw, Running, error, message, start_with, tags};
use env::RealEnv;
use proptest::prelude::*;
use server::{Auth, credentials};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

const V3_0: u32 = 3 << 16;
const PASSWORD: &str = "correct horse";

async fn start() -> Running {
    start_with(|config, dir| {
        let (credentials, _) = credentials::load_or_create(&*RealEnv::new(), dir, Some(PASSWORD.into())).unwrap();
        config.auth = Auth::Scram(credentials);
    })
    .await
}

async fn refusal(running: &Running, user: &str, password: &str) -> (String, String, String) {
    let refused = running.config().user(user).password(password).connect(NoTls).await;
    let error = refused.err().expect("this must not log in");
    let error = error.as_db_error().expect("the server says why");
    (error.severity().to_owned(), error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_logs_in() {
    let running = start().await;
    let (client, connection) = running.config().password(PASSWORD).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_wrong_user_are_not_told_apart() {
    let running = start().await;
    let expected = |user: &str| ("FATAL".into(), "28P01".into(), format!("password authentication failed for user \"{user}\""));
    assert_eq!(refusal(&running, "postgres", "wrong").await, expected("postgres"));
    assert_eq!(refusal(&running, "postgres", "").await, expected("postgres"));
    assert_eq!(refusal(&running, "nobody", PASSWORD).await, expected("nobody"));
    // Whatever is said up to the proof is the same too.
    for user in ["postgres", "nobody"] {
        let mut raw = sasl(&running, user).await;
        raw.send(&initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"))).await;
        let challenge = raw.answer().await.unwrap();
        let text = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
        let [nonce, salt, iterations] = text.split(',').collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(nonce.starts_with("r=abc") && salt.len() == 2 + 24 && iterations == "i=4096", "{text}");
    }
}

/// Whoever said a name and stopped there had a session's place for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_proved_who_it_is_takes_no_session() {
    let running = start_with(|config, dir| {
        let (credentials, _) = credentials::load_or_create(&*RealEnv::new(), dir, Some(PASSWORD.into())).unwrap();
        config.auth = Auth::Scram(credentials);
        config.connections_max = 2;
    })
    .await;
    let _asked = [sasl(&running, "postgres").await, sasl(&running, "postgres").await, sasl(&running, "nobody").await];
    let (client, connection) = running.config().password(PASSWORD).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("").await.unwrap();
}

/// A connection that was asked for SASL.
async fn sasl(running: &Running, user: &str) -> Raw<TcpStream> {
    let mut raw = running.connect().await;
    raw.startup(V3_0, &[("user", user), ("database", "postgres")]).await;
    let asked = raw.answer().await.unwrap();
    assert_eq!((asked.tag, &asked.body[..]), (b'R', &b"\0\0\0\x0aSCRAM-SHA-256\0\0"[..]));
    raw
}

fn initial(mechanism: &str, client_first: Option<&[u8]>) -> Vec<u8> {
    let length = client_first.map_or(-1, |text| text.len() as i32).to_be_bytes();
    message(b'p', &[mechanism.as_bytes(), b"\0", &length, client_first.unwrap_or_default()])
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_login_are_protocol_violations() {
    let running = start().await;
    let first = |text: &str| initial("SCRAM-SHA-256", Some(text.as_bytes()));
    for sent in [
        message(b'Q', &[b"select 1\0"]),
        message(b'p', &[]),
        message(b'p', &[b"SCRAM-SHA-256"]),
        message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x09n,,"]),
        message(b'p', &[b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"]),
        message(b'p', &[b"SCRAM-SHA-256\0\0\0\0\x01n,,"]),
        message(b'p', &[b"password\0"]),
        initial("SCRAM-SHA-256", None),
        initial("SCRAM-SHA-1", Some(b"n,,n=,r=abc")),
        initial("SCRAM-SHA-256-PLUS", Some(b"p=tls-server-end-point,,n=,r=abc")),
        first(""),
        first("n,,"),
        first("x,,n=,r=abc"),
        first("p=tls-unique,,n=,r=abc"),
        first("n,a=other,n=,r=abc"),
        first("n,,m=x,n=,r=abc"),
        vec![b'p', 0, 0, 0x27, 0x11],
        vec![b'p', 0xff, 0xff, 0xff, 0xff],
        vec![b'p', 0, 0, 0, 3],
    ] {
        let mut raw = sasl(&running, "postgres").await;
        raw.send(&sent).await;
        let answers = raw.until_end().await;
        let error = error(&answers);
        assert_eq!((error.field(b'S'), error.field(b'C')), ("FATAL".into(), "08P01".into()), "{sent:?}");
    }
    for last in [
        "",
        "c=biws,r=",
        "c=biws,r=abc,p=AAAA",
        "c=biws,r=NONCE,p=!",
        "c=biws,r=NONCE,p=AAAA",
        "c=eSws,r=NONCE,p=AAAA",
        "r=NONCE,p=AAAA",
    ] {
        let mut raw = sasl(&running, "postgres").await;
        raw.send(&first("n,,n=,r=abc")).await;
        let challenge = String::from_utf8(raw.answer().await.unwrap().body[4..].to_vec()).unwrap();
        let nonce = challenge.split(',').next().unwrap().trim_start_matches("r=");
        raw.send(&message(b'p', &[last.replace("NONCE", nonce).as_bytes()])).await;
        let answers = raw.until_end().await;
        assert_eq!(error(&answers).field(b'C'), "08P01", "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_wrong_is_a_wrong_password() {
    let running = start().await;
    for user in ["postgres", "nobody"] {
        let mut raw = sasl(&running, user).await;
        raw.send(&initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"))).await;
        let challenge = String::from_utf8(raw.answer().await.unwrap().body[4..].to_vec()).unwrap();
        let nonce = challenge.split(',').next().unwrap().trim_start_matches("r=");
        let proof = format!("c=biws,r={nonce},p={}=", "A".repeat(43));
        raw.send(&message(b'p', &[proof.as_bytes()])).await;
        let answers = raw.until_end().await;
        assert_eq!(tags(&answers), "E");
        assert_eq!(answers[0].field(b'C'), "28P01");
    }
}

#[test]
fn any_answers_end_the_login_or_are_waited_for() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(start());
    let scram = "[npy]?,?[a=pcrnms,=AZaz09+/]{0,40}";
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let inputs = (scram, scram, proptest::collection::vec(any::<u8>(), 0..40));
    runner
        .run(&inputs, |(first, last, raw_bytes)| {
            runtime.block_on(async {
                let mut raw = sasl(&running, "postgres").await;
                raw.try_send(&initial("SCRAM-SHA-256", Some(first.as_bytes()))).await;
                raw.try_send(&message(b'p', &[last.as_bytes()])).await;
                raw.try_send(&message(b'p', &[&raw_bytes])).await;
                let answers = raw.until_end().await;
                assert_eq!(answers.last().map(|answer| answer.tag), Some(b'E'), "{first} {last}");
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = running.config().password(PASSWORD).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client.simple_query("").await.unwrap();
    });
}
