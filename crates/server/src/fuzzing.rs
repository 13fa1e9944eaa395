//! For fuzzing: what reads the bytes of a client, given any bytes.

use bytes::BytesMut;
use types::SqlError;

use crate::frame::{Phase, cut, cut_startup};
use crate::message::{Message, Reader, decode};
use crate::startup;

/// Reads what someone sends who has not logged in: a startup packet, then messages.
pub fn before_login(bytes: &[u8]) -> Result<usize, SqlError> {
    let mut input = BytesMut::from(bytes);
    let Some(packet) = cut_startup(&mut input)? else { return Ok(0) };
    let mut reader = Reader(&packet);
    let version = reader.i32()? as u32;
    startup::parse(version, reader.rest())?;
    let mut read = 1_usize;
    while let Some(frame) = cut(&mut input, Phase::Login)? {
        read += frame.body.len();
    }
    Ok(read)
}

/// Reads what a session sends: messages, with all that is in them.
pub fn after_login(bytes: &[u8]) -> Result<usize, SqlError> {
    let mut input = BytesMut::from(bytes);
    let mut read = 0;
    while let Some(frame) = cut(&mut input, Phase::Session)? {
        read += match decode(&frame)? {
            Message::Parse(parse) => parse.parameter_oids.iter().count(),
            Message::Bind(bind) => {
                let values = bind.values.iter().flatten().map(<[u8]>::len).sum::<usize>();
                values + bind.parameter_formats.iter().chain(bind.result_formats.iter()).count()
            }
            _ => 1,
        };
    }
    Ok(read)
}
