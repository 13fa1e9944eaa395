//! The key filter: says "this key is not in the segment" for 99 of 100 keys that are not, from one cache line.
//!
//! ```text
//! block = hash's upper half scaled to the number of blocks          a block is 8 words of 32 bits = half a cache line
//! in each of its 8 words one bit, chosen by the lower half times that word's odd constant
//! ```
//!
//! 1. A key that was inserted is always found: no false negatives.
//! 2. Ten bits a key; about 1 in 100 absent keys is reported as perhaps present.
//!
//! Source: the split block Bloom filter of Parquet and Impala (Putze, Sanders, Singler 2007), with XXH3-64 as the hash.

use crate::codec::{Decoder, Encoder};
use crate::error::Result;

const BITS_PER_KEY: usize = 10;
const BLOCK_BITS: usize = 256;
const SALT: [u32; 8] = [0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31];

/// A blocked Bloom filter over keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFilter {
    blocks: Vec<[u32; 8]>,
}

/// The hash that filters and sketches of variable-length values share. Part of the file format: never change it.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

impl KeyFilter {
    pub(crate) fn new(hashes: &[u64]) -> KeyFilter {
        let n = (hashes.len() * BITS_PER_KEY).div_ceil(BLOCK_BITS).max(1);
        let mut filter = KeyFilter { blocks: vec![[0; 8]; n] };
        for hash in hashes {
            let block = filter.block(*hash);
            for (word, mask) in filter.blocks[block].iter_mut().zip(masks(*hash)) {
                *word |= mask;
            }
        }
        filter
    }

    /// Bytes of memory it holds.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.blocks)
    }

    fn block(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// False: no inserted key has this hash.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.blocks[self.block(hash)].iter().zip(masks(hash)).all(|(word, mask)| word & mask != 0)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.blocks.len());
        for word in self.blocks.iter().flatten() {
            out.u32(*word);
        }
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<KeyFilter> {
        let n = from.count(BLOCK_BITS / 8)?;
        if n == 0 {
            return Err(from.refuse("a key filter has no blocks"));
        }
        let blocks = from.raw(n * BLOCK_BITS / 8)?.chunks_exact(4).map(|word| match word {
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        });
        let words: Vec<u32> = blocks.collect();
        Ok(KeyFilter { blocks: words.as_chunks::<8>().0.to_vec() })
    }
}

fn masks(hash: u64) -> [u32; 8] {
    let low = hash as u32;
    SALT.map(|salt| 1 << (low.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_keys_are_found_and_most_others_are_not() {
        let hash = |i: u64| hash_bytes(&i.to_be_bytes());
        let hashes: Vec<u64> = (0..50_000).map(hash).collect();
        let filter = KeyFilter::new(&hashes);
        assert!(hashes.iter().all(|h| filter.may_contain(*h)));
        let wrong = (50_000..150_000).filter(|i| filter.may_contain(hash(*i))).count();
        assert!(wrong < 2_500, "{wrong} of 100000 absent keys pass");
        assert!(!KeyFilter::new(&[]).may_contain(hash(1)));
    }

    #[test]
    fn the_hash_is_the_one_in_files_already_written() {
        assert_eq!(hash_bytes(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash_bytes(b"colonnade"), hash_bytes(b"colonnade"));
        assert_ne!(hash_bytes(b"colonnade"), hash_bytes(b"colonnadf"));
    }
}
