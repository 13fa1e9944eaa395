//! Frames: cutting the bytes a client sends into messages, before anything looks inside them.
//!
//! ```text
//! before login   length (4, with itself)  body              StartupMessage, SSLRequest, GSSENCRequest, CancelRequest
//! after          type (1)  length (4, with itself)  body    everything else
//! ```
//!
//! 1. A length is checked before a byte of its body is waited for, and nothing is allocated from a length alone: the input grows
//!    as bytes arrive.
//! 2. A frame is handed on whole or not at all, so no decoder reads past its own message.
//!
//! Not here: what a body means (`message`), reading the socket (`wire`).
//! Source: PostgreSQL 15, `SocketBackend` and `pq_getmessage`; the limits are PostgreSQL's (`pqcomm.h`, `libpq.h`). PostgreSQL drops the
//! connection without a word when a length is wrong, we say FATAL 08P01 first.

use bytes::BytesMut;
use types::SqlError;

use crate::error::violation;

/// The longest message of someone who has not logged in, in bytes (`MAX_STARTUP_PACKET_LENGTH`).
pub(crate) const LOGIN_BYTES_MAX: usize = 10_000;
/// The longest message without a statement or data in it (`PQ_SMALL_MESSAGE_LIMIT`).
const SMALL_BYTES_MAX: usize = 10_000;
/// The longest message with a statement or data in it (`PQ_LARGE_MESSAGE_LIMIT`).
const LARGE_BYTES_MAX: usize = (1 << 30) - 1;

/// One message: its type and what follows the length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: BytesMut,
}

/// Whom the input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Someone who has not proved who they are.
    Login,
    /// A session.
    Session,
}

/// Takes the first frame off `input`; `None` if it is not complete yet. Errors: 08P01, after which the input means nothing any more.
pub(crate) fn cut(input: &mut BytesMut, phase: Phase) -> Result<Option<Frame>, SqlError> {
    let Some(&tag) = input.first() else { return Ok(None) };
    let bytes_max = bytes_max(tag, phase)?;
    let Some(length) = length_at(input, 1) else { return Ok(None) };
    if length < 4 || length > bytes_max {
        return Err(violation("invalid message length"));
    }
    if input.len() < 1 + length {
        return Ok(None);
    }
    let mut body = input.split_to(1 + length);
    let _ = body.split_to(5);
    Ok(Some(Frame { tag, body }))
}

/// Takes the first packet of a connection (or the one after an answered SSLRequest) off `input`, without its length.
pub(crate) fn cut_startup(input: &mut BytesMut) -> Result<Option<BytesMut>, SqlError> {
    let Some(length) = length_at(input, 0) else { return Ok(None) };
    if !(8..=LOGIN_BYTES_MAX).contains(&length) {
        return Err(violation("invalid length of startup packet"));
    }
    if input.len() < length {
        return Ok(None);
    }
    let mut body = input.split_to(length);
    let _ = body.split_to(4);
    Ok(Some(body))
}

/// A negative length is a huge one here, and refused as such.
fn length_at(input: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = input.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes) as usize)
}

fn bytes_max(tag: u8, phase: Phase) -> Result<usize, SqlError> {
    match (phase, tag) {
        (Phase::Login, b'p') => Ok(LOGIN_BYTES_MAX),
        (Phase::Login, _) => Err(violation(format!("expected SASL response, got message type {tag}"))),
        (Phase::Session, b'Q' | b'P' | b'B' | b'd' | b'F') => Ok(LARGE_BYTES_MAX),
        (Phase::Session, b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f') => Ok(SMALL_BYTES_MAX),
        (Phase::Session, _) => Err(violation(format!("invalid frontend message type {tag}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(bytes: &[u8]) -> BytesMut {
        BytesMut::from(bytes)
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut bytes = input(b"S\0\0\0\x04Q\0\0\0\x09abcd\0H\0\0");
        assert_eq!(cut(&mut bytes, Phase::Session), Ok(Some(Frame { tag: b'S', body: BytesMut::new() })));
        assert_eq!(cut(&mut bytes, Phase::Session), Ok(Some(Frame { tag: b'Q', body: input(b"abcd\0") })));
        assert_eq!(cut(&mut bytes, Phase::Session), Ok(None));
        assert_eq!(&bytes[..], b"H\0\0", "an incomplete frame stays");
    }

    #[test]
    fn a_length_is_refused_before_its_body_arrives() {
        for (header, phase) in [
            (&b"Q\0\0\0\x03"[..], Phase::Session),
            (b"Q\x40\0\0\0", Phase::Session),
            (b"Q\xff\xff\xff\xff", Phase::Session),
            (b"S\0\0\x27\x11", Phase::Session),
            (b"p\0\0\x27\x11", Phase::Login),
        ] {
            let error = cut(&mut input(header), phase).unwrap_err();
            assert_eq!((error.state.as_str(), error.message.as_str()), ("08P01", "invalid message length"), "{header:?}");
        }
        assert_eq!(cut(&mut input(b"Q\x3f\xff\xff\xff"), Phase::Session), Ok(None), "the longest that is allowed");
        for length in [0u32, 7, 10_001, u32::MAX] {
            assert!(cut_startup(&mut input(&length.to_be_bytes())).is_err(), "{length}");
        }
    }

    #[test]
    fn an_unknown_type_is_refused_at_its_first_byte() {
        let error = cut(&mut input(b"\x01"), Phase::Session).unwrap_err();
        assert_eq!(error.message, "invalid frontend message type 1");
        assert!(cut(&mut input(b"p"), Phase::Session).is_err(), "a password after login");
        assert!(cut(&mut input(b"Q"), Phase::Login).is_err(), "a query before login");
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_refused_or_waited_for(bytes in proptest::collection::vec(any::<u8>(), 0..64), login in any::<bool>()) {
            let phase = if login { Phase::Login } else { Phase::Session };
            let mut rest = input(&bytes);
            let mut seen = 0;
            while let Ok(Some(frame)) = cut(&mut rest, phase) {
                seen += 5 + frame.body.len();
                prop_assert_eq!(seen + rest.len(), bytes.len(), "no byte is lost or read twice");
            }
            let mut rest = input(&bytes);
            if let Ok(Some(body)) = cut_startup(&mut rest) {
                prop_assert_eq!(4 + body.len() + rest.len(), bytes.len());
            }
        }
    }
}
