//! Clients that do not keep to the protocol after they have logged in: answered or closed, never more.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Raw, Running, error, message, start, tags};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// One well-formed frame of every message a session may get, in an order that answers all of them.
fn frames() -> Vec<Vec<u8>> {
    vec![
        message(b'P', &[b"s\0select $1\0\0\x01\0\0\0\x19"]),
        message(b'B', &[b"p\0s\0\0\x01\0\0\0\x01\0\0\0\x03abc\0\x01\0\0"]),
        message(b'D', &[b"Ss\0"]),
        message(b'D', &[b"Pp\0"]),
        message(b'E', &[b"p\0\0\0\0\0"]),
        message(b'C', &[b"Ss\0"]),
        message(b'H', &[]),
        message(b'S', &[]),
        message(b'Q', &[b"\0"]),
        message(b'd', &[b"data"]),
        message(b'c', &[]),
        message(b'f', &[b"reason\0"]),
        message(b'F', &[b"\0\0\0\x05\0\0\0\0\0\0"]),
    ]
}

/// Sends bytes and then nothing any more; what comes back must be whole messages and an end, none of them about a bug of ours.
async fn survive(running: &Running, bytes: &[u8]) -> Vec<common::Answer> {
    let mut raw = running.log_in().await;
    raw.try_send(bytes).await;
    let _ = raw.stream.shutdown().await;
    let answers = raw.until_end().await;
    let bugs: Vec<String> =
        answers.iter().filter(|a| a.tag == b'E').map(|a| a.field(b'C')).filter(|code| code == "XX000").collect();
    assert!(bugs.is_empty(), "{bytes:?} found a bug: {answers:?}");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_may_end_anywhere() {
    let running = start().await;
    let all = frames().concat();
    for length in 0..=all.len() {
        survive(&running, &all[..length]).await;
    }
    assert_eq!(tags(&running.log_in().await.query("").await), "IZ", "the server is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_length_may_be_wrong() {
    let running = start().await;
    for (i, frame) in frames().iter().enumerate() {
        for length in
            [0u32, 1, 3, 4, 5, frame.len() as u32 - 2, frame.len() as u32, 10_000, 10_001, 1 << 30, i32::MAX as u32, u32::MAX]
        {
            let mut bent = frame.clone();
            bent[1..5].copy_from_slice(&length.to_be_bytes());
            let behind = [bent, message(b'S', &[]), message(b'Q', &[b"\0"])].concat();
            let answers = survive(&running, &behind).await;
            if !(4..=(1 << 30) - 1).contains(&length) {
                assert_eq!(tags(&answers), "E", "frame {i} of length {length}");
                let error = error(&answers);
                assert_eq!((error.field(b'S'), error.field(b'C')), ("FATAL".into(), "08P01".into()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_message_is_answered_and_the_session_goes_on() {
    let running = start().await;
    for (i, frame) in frames().iter().enumerate() {
        let body = &frame[5..];
        for length in 0..body.len() {
            let mut raw = running.log_in().await;
            raw.send(&[message(frame[0], &[&body[..length]]), message(b'S', &[])].concat()).await;
            let answers = raw.until_ready().await;
            if !matches!(frame[0], b'd') {
                assert!(tags(&answers).contains('E'), "frame {i} cut to {length}: {answers:?}");
            }
            if matches!(frame[0], b'Q' | b'F' | b'f') {
                raw.until_ready().await; // These have a ReadyForQuery of their own.
            }
            assert_eq!(tags(&raw.query("").await), "IZ", "frame {i} cut to {length}");
        }
    }
}

#[test]
fn any_bytes_are_answered_or_end_the_connection() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(start());
    let tag = proptest::sample::select(b"QPBDECSHdcfFXpz\0".to_vec());
    let frame = (tag, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, body)| message(tag, &[&body]));
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let bytes = proptest::collection::vec(prop_oneof![4 => frame, 1 => noise, 2 => proptest::sample::select(frames())], 0..8);
    TestRunner::new(ProptestConfig::with_cases(400))
        .run(&bytes, |parts| {
            runtime.block_on(survive(&running, &parts.concat()));
            Ok(())
        })
        .unwrap();
    assert_eq!(tags(&runtime.block_on(async { running.log_in().await.query("").await })), "IZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_alone_takes_no_memory() {
    let running = start().await;
    let before = resident_bytes();
    let mut waiting: Vec<Raw<TcpStream>> = vec![];
    for _ in 0..50 {
        let mut raw = running.log_in().await;
        raw.send(&[&b"Q"[..], &((1u32 << 30) - 1).to_be_bytes(), b"select 'a long st"].concat()).await;
        waiting.push(raw);
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "50 headers of 1 GiB took {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
