//! `hashtext` and `hashtextextended`, which clients make numbers of advisory locks with. PostgreSQL does not promise what they give; it is
//! what PostgreSQL 15 gives on a little-endian machine.
//!
//! Source: Bob Jenkins' lookup3 (public domain); PostgreSQL 15 for its start value and where the seed goes.

use types::{Datum, DatumRef, SqlError, SqlType};

use super::{fits, mismatch, text_of};
use crate::function::{Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("hashtext", |args, _| fits(args, &[SqlType::Text], SqlType::Int4), hashtext),
    Function::new("hashtextextended", |args, _| fits(args, &[SqlType::Text, SqlType::Int8], SqlType::Int8), hashtextextended),
];

fn hashtext(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let (_, low) = hash(text_of(args, 0)?.as_bytes(), 0);
    Ok(Datum::Int4(low as i32))
}

fn hashtextextended(_: &Call<'_>, args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let Some(DatumRef::Int8(seed)) = args.get(1) else { return Err(mismatch("hashtextextended")) };
    let (high, low) = hash(text_of(args, 0)?.as_bytes(), *seed as u64);
    Ok(Datum::Int8((u64::from(high) << 32 | u64::from(low)) as i64))
}

const MIX: [u32; 6] = [4, 6, 8, 16, 19, 4];
const FINISH: [u32; 7] = [14, 11, 25, 16, 4, 14, 24];

fn mix(state: &mut [u32; 3]) {
    for (round, by) in MIX.into_iter().enumerate() {
        let (x, y, z) = (round % 3, (round + 1) % 3, (round + 2) % 3);
        state[x] = state[x].wrapping_sub(state[z]) ^ state[z].rotate_left(by);
        state[z] = state[z].wrapping_add(state[y]);
    }
}

/// The upper and the lower half.
fn hash(bytes: &[u8], seed: u64) -> (u32, u32) {
    let mut state = [0x9e37_79b9_u32.wrapping_add(bytes.len() as u32).wrapping_add(3_923_095); 3];
    if seed != 0 {
        state[0] = state[0].wrapping_add((seed >> 32) as u32);
        state[1] = state[1].wrapping_add(seed as u32);
        mix(&mut state);
    }
    let (blocks, rest) = bytes.as_chunks::<12>();
    let add = |state: &mut [u32; 3], at: usize, byte: u8, shift: usize| {
        state[at] = state[at].wrapping_add(u32::from(byte) << (8 * shift));
    };
    for block in blocks {
        for (at, byte) in block.iter().enumerate() {
            add(&mut state, at / 4, *byte, at % 4);
        }
        mix(&mut state);
    }
    for (at, byte) in rest.iter().enumerate() {
        // The lowest byte of the last word is the length's.
        add(&mut state, at / 4, *byte, at % 4 + at / 8);
    }
    for (round, by) in FINISH.into_iter().enumerate() {
        let (x, y) = ((round + 2) % 3, (round + 1) % 3);
        state[x] = (state[x] ^ state[y]).wrapping_sub(state[y].rotate_left(by));
    }
    (state[1], state[2])
}
