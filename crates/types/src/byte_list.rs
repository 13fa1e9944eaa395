//! Byte strings one after another in one buffer: the keys or the row images of a block, without an allocation each.

/// A list of byte strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByteList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteList {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The one at `at`, from 0. Panics beyond the last.
    pub fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// Adds one.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_with(|out| out.extend_from_slice(bytes));
    }

    /// Adds what `append` appends.
    pub fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Forgets all of them, but not the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_was_pushed() {
        let mut list = ByteList::default();
        assert!(list.is_empty());
        [&b"abc"[..], b"", b"d"].iter().for_each(|bytes| list.push(bytes));
        assert_eq!((list.get(0), list.get(1), list.get(2), list.len(), list.bytes()), (&b"abc"[..], &b""[..], &b"d"[..], 3, 4));
        list.clear();
        assert!(list.is_empty());
    }
}
