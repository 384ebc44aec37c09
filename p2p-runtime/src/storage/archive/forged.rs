//! Archives that no store would write, made for fuzzing by someone who has the data key.

use super::{Kind, Records};
use crate::storage::{crypto::Key, error::Fault, header::Header};

/// Seals whatever it is given as the records of an archive.
pub(in crate::storage) struct Sealing<'a> {
    file: Vec<u8>,
    records: Records<'a>,
    count: u64,
}

impl<'a> Sealing<'a> {
    /// An archive that holds nothing yet.
    pub(in crate::storage) fn new(header: &'a Header, data_key: &Key) -> Result<Self, Fault> {
        Ok(Self { file: header.encode(data_key)?, records: Records::new(header, data_key)?, count: 0 })
    }

    /// Adds a record: an end mark where `kind` is even, else an entry.
    pub(in crate::storage) fn seal(&mut self, kind: u8, text: &[u8]) -> Result<(), Fault> {
        let kind = if kind.is_multiple_of(2) { Kind::End } else { Kind::Entry };
        self.records.seal(&mut self.file, self.count, kind, &[text])?;
        self.count += 1;
        Ok(())
    }

    /// The file.
    pub(in crate::storage) fn finish(self) -> Vec<u8> {
        self.file
    }
}
