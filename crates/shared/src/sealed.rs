//! A value as bytes that outlive a process: a fixed head (magic, version, length, checksum), then
//! bincode. The only module that chooses bincode's format. Each fault of foreign bytes has an error of its
//! own; what a value means is up to the caller.

use bincode::Decode;
use bincode::Encode;
use bincode::config::Configuration;
use bincode::config::Fixint;
use bincode::config::Limit;
use bincode::config::LittleEndian;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;
use zerocopy::little_endian::U32;
use zerocopy::little_endian::U64;

use crate::fnv1a;

const HEAD_BYTES: usize = size_of::<Head>();
const MAGIC_BYTES: usize = 8;

/// What stands before the body.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    magic: [u8; MAGIC_BYTES],
    version: U32,
    body_bytes: U32,
    /// FNV-1a of the body.
    checksum: U64,
}

/// A kind of sealed value, head included at most `MAX_BYTES` long.
#[derive(Debug, Clone, Copy)]
pub struct Seal<const MAX_BYTES: usize> {
    /// Its name in errors.
    pub name: &'static str,
    /// Its first bytes. The last two distinguish text-mode damage from a foreign file.
    pub magic: [u8; MAGIC_BYTES],
    /// Version of the form. A reader refuses any other.
    pub version: u32,
}

/// Why bytes are not such a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No bytes: the program before this one in a pipe had no result.
    #[error("no {name}: the input is empty")]
    Empty {
        /// What was expected.
        name: &'static str,
    },
    /// The bytes do not begin like one.
    #[error("not an {name}")]
    Foreign {
        /// What was expected.
        name: &'static str,
    },
    /// Written by another version.
    #[error("{name} of version {found}, this program reads {known}")]
    Version {
        /// What it is.
        name: &'static str,
        /// Its version.
        found: u32,
        /// The only one that is read.
        known: u32,
    },
    /// Ends too early.
    #[error("{name} is cut short: {found} of {expected} bytes")]
    Truncated {
        /// What it is.
        name: &'static str,
        /// Bytes that are there.
        found: usize,
        /// Bytes that the head announces.
        expected: usize,
    },
    /// More bytes than allowed, or than the head announces.
    #[error("{name} is too long: {found} bytes, {expected} expected")]
    Oversized {
        /// What it is.
        name: &'static str,
        /// Bytes that are there, or announced.
        found: usize,
        /// Bytes that may be there.
        expected: usize,
    },
    /// The body was damaged, or makes no sense.
    #[error("{name} is corrupt: {why}")]
    Corrupt {
        /// What it is.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl<const MAX_BYTES: usize> Seal<MAX_BYTES> {
    const fn format() -> Configuration<LittleEndian, Fixint, Limit<MAX_BYTES>> {
        bincode::config::standard()
            .with_fixed_int_encoding()
            .with_limit::<MAX_BYTES>()
    }

    /// The value as bytes.
    ///
    /// # Errors
    /// If they would be more than `MAX_BYTES`.
    pub fn encode(&self, value: &impl Encode) -> Result<Vec<u8>, Broken> {
        let body = bincode::encode_to_vec(value, Self::format())
            .map_err(|error| self.corrupt(error.to_string()))?;
        let total = HEAD_BYTES + body.len();
        let body_bytes = u32::try_from(body.len()).ok();
        let Some(body_bytes) = body_bytes.filter(|_| total <= MAX_BYTES) else {
            return Err(self.oversized(total, MAX_BYTES));
        };
        let head = Head {
            magic: self.magic,
            version: self.version.into(),
            body_bytes: body_bytes.into(),
            checksum: checksum(&body).into(),
        };
        Ok([head.as_bytes(), &body].concat())
    }

    /// Reads a value. Trailing bytes are an error. No more memory is taken than a small multiple of
    /// `MAX_BYTES`, whatever the bytes announce.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn decode<T: Decode<()>>(&self, bytes: &[u8]) -> Result<T, Broken> {
        let name = self.name;
        if bytes.is_empty() {
            return Err(Broken::Empty { name });
        }
        if bytes.len() > MAX_BYTES {
            return Err(self.oversized(bytes.len(), MAX_BYTES));
        }
        let magic_here = &bytes[..bytes.len().min(MAGIC_BYTES)];
        if magic_here != &self.magic[..magic_here.len()] {
            return Err(Broken::Foreign { name });
        }
        let truncated = |expected| Broken::Truncated {
            name,
            found: bytes.len(),
            expected,
        };
        let (head, body) = Head::read_from_prefix(bytes).map_err(|_| truncated(HEAD_BYTES))?;
        if head.version != self.version {
            return Err(Broken::Version {
                name,
                found: head.version.get(),
                known: self.version,
            });
        }
        let expected = HEAD_BYTES + head.body_bytes.get() as usize;
        if expected > MAX_BYTES {
            return Err(self.oversized(expected, MAX_BYTES));
        }
        match bytes.len() {
            found if found < expected => return Err(truncated(expected)),
            found if found > expected => return Err(self.oversized(found, expected)),
            _ => {}
        }
        if head.checksum != checksum(body) {
            return Err(self.corrupt("checksum does not match".into()));
        }
        let (value, used) = bincode::decode_from_slice(body, Self::format())
            .map_err(|error| self.corrupt(error.to_string()))?;
        if used != body.len() {
            let surplus = body.len() - used;
            return Err(self.corrupt(format!("{surplus} bytes too many")));
        }
        Ok(value)
    }

    /// The error for a value that could be read, but makes no sense.
    #[must_use]
    pub const fn corrupt(&self, why: String) -> Broken {
        Broken::Corrupt {
            name: self.name,
            why,
        }
    }

    const fn oversized(&self, found: usize, expected: usize) -> Broken {
        Broken::Oversized {
            name: self.name,
            found,
            expected,
        }
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    fnv1a::hash(bytes.iter().map(|byte| u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::proptest;

    const SEAL: Seal<256> = Seal {
        name: "example",
        magic: *b"SXTTST\r\n",
        version: 7,
    };

    fn sample() -> Vec<u8> {
        SEAL.encode(&vec![1_u32, 2, 3]).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u32>, Broken> {
        SEAL.decode(bytes)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(decode(&sample()), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = sample();
        assert!(matches!(decode(&[]), Err(Broken::Empty { .. })));
        for len in 1..bytes.len() {
            let error = decode(&bytes[..len]).unwrap_err();
            assert!(matches!(error, Broken::Truncated { .. }), "{len}: {error}");
        }
    }

    #[test]
    fn foreign_newer_and_oversized_bytes_are_told_apart() {
        let foreign = decode(b"\x7fELF and so on, and so on");
        assert!(matches!(foreign, Err(Broken::Foreign { .. })));
        let newer = Seal { version: 8, ..SEAL };
        let newer = newer.encode(&vec![1_u32]).unwrap();
        let version = decode(&newer);
        assert!(matches!(version, Err(Broken::Version { found: 8, .. })));
        let longer = [sample(), vec![0]].concat();
        assert!(matches!(decode(&longer), Err(Broken::Oversized { .. })));
        let huge = vec![0; 257];
        assert!(matches!(decode(&huge), Err(Broken::Oversized { .. })));
        let too_much = SEAL.encode(&vec![0_u32; 80]);
        assert!(too_much.is_err());
    }

    proptest! {
        #[test]
        fn a_flipped_bit_never_passes(at in 0usize..10_000, bit in 0u8..8) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = SEAL.magic.to_vec();
            bytes.extend(SEAL.version.to_le_bytes());
            bytes.extend((tail.len() as u32).to_le_bytes());
            bytes.extend(checksum(&tail).to_le_bytes());
            bytes.extend(tail);
            let _ = decode(&bytes);
        }
    }
}
