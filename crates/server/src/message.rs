//! What a client says: the body of a frame as a [`Message`], without a copy and without an allocation.
//!
//! 1. Every read is bounds-checked; a body that ends early or goes on too long is 08P01 and says which.
//! 2. Strings are UTF-8 or refused (22021). They end at their zero byte, so none contains one; values that are counted instead are
//!    checked where their type is known (`extended`).
//! 3. [`Codes`] and [`Values`] are walked once here, to check them, and again by whoever needs them; they borrow the frame.
//!
//! Not here: frames and their limits (`frame`), the login messages (`startup`, `auth`).
//! Source: PostgreSQL 15, "Message Formats"; the errors are those of `pqformat.c` and `postgres.c`.

use types::SqlError;

use crate::error::{invalid_utf8, violation};
use crate::frame::Frame;

/// One message of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Query(&'a str),
    Parse(Parse<'a>),
    Bind(Bind<'a>),
    Describe(Target<'a>),
    /// `rows_max` of 0 is all of them.
    Execute {
        portal: &'a str,
        rows_max: u32,
    },
    Close(Target<'a>),
    Sync,
    Flush,
    CopyData(&'a [u8]),
    CopyDone,
    CopyFail(&'a str),
    /// The old call of a function by its oid.
    FunctionCall,
    Terminate,
}

/// A statement to prepare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parse<'a> {
    /// Empty for the unnamed statement.
    pub(crate) name: &'a str,
    pub(crate) query: &'a str,
    pub(crate) parameter_oids: Oids<'a>,
}

/// A statement to make a portal of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bind<'a> {
    /// Empty for the unnamed portal.
    pub(crate) portal: &'a str,
    pub(crate) statement: &'a str,
    pub(crate) parameter_formats: Codes<'a>,
    pub(crate) values: Values<'a>,
    pub(crate) result_formats: Codes<'a>,
}

/// What Describe and Close are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

/// Format codes, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codes<'a>(&'a [u8]);

impl<'a> Codes<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len() / 2
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i16> + 'a {
        self.0.chunks_exact(2).map(|code| i16::from_be_bytes([code[0], code[1]]))
    }
}

/// Type oids, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]]))
    }
}

/// Parameter values, as they are on the wire: each a length and that many bytes, or -1 for NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub(crate) fn len(self) -> usize {
        self.count
    }

    /// The values in order, `None` for NULL.
    pub(crate) fn iter(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let mut reader = Reader(self.bytes);
        (0..self.count).map(move |_| reader.value().expect("values were walked when the message was decoded"))
    }
}

/// What a frame says. Errors: 08P01 for a body that is too short, too long or of no such message, 22021 for text that is not UTF-8.
pub(crate) fn decode(frame: &Frame) -> Result<Message<'_>, SqlError> {
    let mut reader = Reader(&frame.body);
    let message = match frame.tag {
        b'Q' => Message::Query(reader.string()?),
        b'P' => Message::Parse(Parse {
            name: reader.string()?,
            query: reader.string()?,
            parameter_oids: {
                let count = reader.count()?;
                Oids(reader.take(4 * count)?)
            },
        }),
        b'B' => Message::Bind(reader.bind()?),
        b'D' => Message::Describe(reader.target("DESCRIBE")?),
        b'E' => Message::Execute { portal: reader.string()?, rows_max: reader.i32()?.max(0).unsigned_abs() },
        b'C' => Message::Close(reader.target("CLOSE")?),
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'd' => Message::CopyData(reader.rest()),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(reader.string()?),
        b'F' => {
            reader.rest();
            Message::FunctionCall
        }
        b'X' => Message::Terminate,
        tag => return Err(violation(format!("invalid frontend message type {tag}"))),
    };
    if !reader.0.is_empty() {
        return Err(violation("invalid message format"));
    }
    Ok(message)
}

/// True for the messages after whose failure everything up to the next Sync is skipped.
pub(crate) fn is_extended(tag: u8) -> bool {
    matches!(tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
}

/// Reads the fields of a body from its front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], SqlError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| violation("insufficient data left in message"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, SqlError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// PostgreSQL reads counts as unsigned: up to 65,535 parameters or columns.
    fn count(&mut self) -> Result<usize, SqlError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    /// What is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Bytes up to a zero byte, which is taken too.
    pub(crate) fn string(&mut self) -> Result<&'a str, SqlError> {
        let end = memchr::memchr(0, self.0).ok_or_else(|| violation("invalid string in message"))?;
        let bytes = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(bytes).map_err(|_| invalid_utf8(bytes))
    }

    fn codes(&mut self) -> Result<Codes<'a>, SqlError> {
        let count = self.count()?;
        Ok(Codes(self.take(2 * count)?))
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, SqlError> {
        match self.i32()? {
            -1 => Ok(None),
            // Any other negative length is a huge one, which cannot be there.
            len => self.take(len as u32 as usize).map(Some),
        }
    }

    fn bind(&mut self) -> Result<Bind<'a>, SqlError> {
        let (portal, statement) = (self.string()?, self.string()?);
        let parameter_formats = self.codes()?;
        let count = self.count()?;
        let start = self.0;
        for _ in 0..count {
            self.value()?;
        }
        let values = Values { count, bytes: &start[..start.len() - self.0.len()] };
        Ok(Bind { portal, statement, parameter_formats, values, result_formats: self.codes()? })
    }

    fn target(&mut self, message: &str) -> Result<Target<'a>, SqlError> {
        let [kind] = self.array()?;
        let name = self.string()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            kind => Err(violation(format!("invalid {message} message subtype {kind}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame {
        Frame { tag, body: BytesMut::from(body) }
    }

    /// One well-formed body per message, each with every field filled.
    const BODIES: [(u8, &[u8]); 13] = [
        (b'Q', b"select 1\0"),
        (b'P', b"s1\0select $1, $2\0\0\x02\0\0\0\x17\0\0\0\0"),
        (b'B', b"p1\0s1\0\0\x02\0\0\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\x01\0\x01"),
        (b'D', b"Ss1\0"),
        (b'E', b"p1\0\0\0\0\x05"),
        (b'C', b"Pp1\0"),
        (b'S', b""),
        (b'H', b""),
        (b'd', b"1\t2\n"),
        (b'c', b""),
        (b'f', b"no more\0"),
        (b'F', b"\0\0\0\x05\0\0\0\0\0\0"),
        (b'X', b""),
    ];

    #[test]
    fn every_message_is_decoded() {
        let frames: Vec<Frame> = BODIES.iter().map(|(tag, body)| frame(*tag, body)).collect();
        let decoded: Vec<Message<'_>> = frames.iter().map(|frame| decode(frame).unwrap()).collect();
        assert_eq!(decoded[0], Message::Query("select 1"));
        let Message::Parse(parse) = decoded[1] else { panic!("{:?}", decoded[1]) };
        assert_eq!((parse.name, parse.query), ("s1", "select $1, $2"));
        assert_eq!(parse.parameter_oids.iter().collect::<Vec<_>>(), [23, 0]);
        let Message::Bind(bind) = decoded[2] else { panic!("{:?}", decoded[2]) };
        assert_eq!((bind.portal, bind.statement), ("p1", "s1"));
        assert_eq!(bind.parameter_formats.iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(bind.values.iter().collect::<Vec<_>>(), [Some(&b"abc"[..]), None]);
        assert_eq!(bind.result_formats.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(
            decoded[3..6],
            [
                Message::Describe(Target::Statement("s1")),
                Message::Execute { portal: "p1", rows_max: 5 },
                Message::Close(Target::Portal("p1")),
            ]
        );
        assert_eq!(
            decoded[6..],
            [
                Message::Sync,
                Message::Flush,
                Message::CopyData(b"1\t2\n"),
                Message::CopyDone,
                Message::CopyFail("no more"),
                Message::FunctionCall,
                Message::Terminate,
            ]
        );
    }

    #[test]
    fn a_body_cut_anywhere_is_a_protocol_violation() {
        for (tag, body) in BODIES {
            for len in 0..body.len() {
                if matches!(tag, b'd' | b'F') {
                    continue; // Any bytes are such a body.
                }
                let error = decode(&frame(tag, &body[..len])).unwrap_err();
                assert_eq!(error.state.as_str(), "08P01", "{} cut to {len}: {error}", tag as char);
            }
        }
    }

    #[test]
    fn a_body_that_goes_on_is_a_protocol_violation() {
        for (tag, body) in BODIES {
            if matches!(tag, b'd' | b'F') {
                continue;
            }
            let longer = [body, b"x"].concat();
            assert_eq!(decode(&frame(tag, &longer)).unwrap_err().message, "invalid message format", "{}", tag as char);
        }
    }

    #[test]
    fn counts_and_lengths_beyond_the_body_are_refused() {
        for (tag, body) in BODIES {
            for at in 0..body.len() {
                for value in [0x7f, 0x80, 0xff] {
                    let mut bent = body.to_vec();
                    bent[at] = value;
                    if let Ok(Message::Bind(bind)) = decode(&frame(tag, &bent)) {
                        assert_eq!(bind.values.iter().count(), bind.values.len());
                    }
                }
            }
        }
        let error = decode(&frame(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0")).unwrap_err();
        assert_eq!(error.message, "insufficient data left in message", "a length of -2");
    }

    #[test]
    fn text_that_is_not_utf8_and_kinds_that_are_none_are_refused() {
        assert_eq!(decode(&frame(b'Q', b"select '\xff'\0")).unwrap_err().state.as_str(), "22021");
        assert_eq!(decode(&frame(b'D', b"Xa\0")).unwrap_err().message, "invalid DESCRIBE message subtype 88");
        assert_eq!(decode(&frame(b'Q', b"select\0 1\0")).unwrap_err().message, "invalid message format");
        let all = frame(b'E', b"\0\xff\xff\xff\xff");
        assert_eq!(decode(&all), Ok(Message::Execute { portal: "", rows_max: 0 }), "a negative limit is none");
    }

    proptest! {
        #[test]
        fn any_body_is_decoded_or_refused(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frame = frame(tag, &body);
            if let Ok(Message::Bind(bind)) = decode(&frame) {
                prop_assert_eq!(bind.values.iter().count(), bind.values.len());
            }
        }

        #[test]
        fn a_bent_body_is_decoded_or_refused(which in 0..BODIES.len(), at in any::<proptest::sample::Index>(), value in any::<u8>()) {
            let (tag, body) = BODIES[which];
            let mut body = body.to_vec();
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = value;
            }
            let _ = decode(&frame(tag, &body));
        }
    }
}
