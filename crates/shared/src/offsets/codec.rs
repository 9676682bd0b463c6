//! The offsets document as bytes: a fixed head (magic, schema, length, checksum), then bincode.
//! The only module that knows bincode. Every way in which foreign bytes can be wrong has a name.

use bincode::config::Configuration;
use bincode::config::Fixint;
use bincode::config::Limit;
use bincode::config::LittleEndian;

use super::Document;
use crate::kernel::KernelIdentity;

/// Largest document that is written or read. A full one is about 3 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// First bytes of every document. The last two tell text-mode damage apart from a foreign file.
const MAGIC: [u8; 8] = *b"SXTOFF\r\n";
/// Magic, schema (u32), body length (u32), FNV-1a of the body (u64); all little-endian.
const HEAD_BYTES: usize = 24;

/// Why bytes are not an offsets document that may be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all: the writer before us in the pipe found nothing.
    #[error("no offsets document: the input is empty")]
    Empty,
    /// The bytes do not begin like a document.
    #[error("not an offsets document")]
    Foreign,
    /// Written by another version.
    #[error(
        "offsets document of schema {found}, this program reads {}",
        Document::SCHEMA
    )]
    Schema {
        /// The document's schema.
        found: u32,
    },
    /// Ends too early.
    #[error("offsets document is cut short: {found} of {expected} bytes")]
    Truncated {
        /// Bytes that are there.
        found: usize,
        /// Bytes that the head announces.
        expected: usize,
    },
    /// More than a document can be, or more bytes than it announces.
    #[error("offsets document is too long: {found} bytes, {expected} expected")]
    Oversized {
        /// Bytes that are there, or announced.
        found: usize,
        /// Bytes that may be there.
        expected: usize,
    },
    /// The body is not what the writer wrote, or makes no sense.
    #[error("offsets document is corrupt: {0}")]
    Corrupt(String),
    /// Measured on another kernel.
    #[error("offsets of another kernel: measured on {measured}, running {running}")]
    OtherKernel {
        /// Release and build-id in the document.
        measured: String,
        /// Release and build-id here.
        running: String,
    },
}

fn format() -> Configuration<LittleEndian, Fixint, Limit<MAX_DOCUMENT_BYTES>> {
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<MAX_DOCUMENT_BYTES>()
}

/// The document as bytes.
///
/// # Errors
/// If it would be larger than [`MAX_DOCUMENT_BYTES`].
pub fn encode(document: &Document) -> Result<Vec<u8>, DecodeError> {
    let body = bincode::encode_to_vec(document, format())
        .map_err(|error| DecodeError::Corrupt(error.to_string()))?;
    let total = HEAD_BYTES + body.len();
    if total > MAX_DOCUMENT_BYTES {
        return Err(DecodeError::Oversized {
            found: total,
            expected: MAX_DOCUMENT_BYTES,
        });
    }
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(MAGIC);
    bytes.extend(document.schema.to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(fnv1a(&body).to_le_bytes());
    bytes.extend(body);
    Ok(bytes)
}

/// Reads a document, whatever kernel it is of. Trailing bytes are an error.
///
/// # Errors
/// A [`DecodeError`] that names what is wrong.
pub fn decode(bytes: &[u8]) -> Result<Document, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DecodeError::Oversized {
            found: bytes.len(),
            expected: MAX_DOCUMENT_BYTES,
        });
    }
    let magic_here = &bytes[..bytes.len().min(MAGIC.len())];
    if magic_here != &MAGIC[..magic_here.len()] {
        return Err(DecodeError::Foreign);
    }
    let truncated = |expected| DecodeError::Truncated {
        found: bytes.len(),
        expected,
    };
    let (head, body) = bytes
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or(truncated(HEAD_BYTES))?;
    let (_, after_magic) = head.split_at(MAGIC.len());
    let (schema, after_schema) = split_u32(after_magic);
    if schema != Document::SCHEMA {
        return Err(DecodeError::Schema { found: schema });
    }
    let (body_bytes, checksum) = split_u32(after_schema);
    let expected = HEAD_BYTES + body_bytes as usize;
    if expected > MAX_DOCUMENT_BYTES {
        return Err(DecodeError::Oversized {
            found: expected,
            expected: MAX_DOCUMENT_BYTES,
        });
    }
    match bytes.len() {
        found if found < expected => return Err(truncated(expected)),
        found if found > expected => return Err(DecodeError::Oversized { found, expected }),
        _ => {}
    }
    if checksum != fnv1a(body).to_le_bytes() {
        return Err(DecodeError::Corrupt("checksum does not match".into()));
    }
    let (document, used) = bincode::decode_from_slice::<Document, _>(body, format())
        .map_err(|error| DecodeError::Corrupt(error.to_string()))?;
    if used != body.len() {
        return Err(DecodeError::Corrupt(format!(
            "{} bytes too many",
            body.len() - used
        )));
    }
    if document.schema != schema {
        return Err(DecodeError::Corrupt(
            "head and body are of different schemas".into(),
        ));
    }
    Ok(document)
}

/// Reads a document and refuses it unless it was measured on this very kernel.
///
/// # Errors
/// As [`decode`], and [`DecodeError::OtherKernel`].
pub fn decode_for(bytes: &[u8], running: &KernelIdentity) -> Result<Document, DecodeError> {
    let document = decode(bytes)?;
    if document.kernel != *running {
        return Err(DecodeError::OtherKernel {
            measured: short(&document.kernel),
            running: short(running),
        });
    }
    Ok(document)
}

fn short(kernel: &KernelIdentity) -> String {
    let build_id = kernel.build_id.as_deref().unwrap_or("none");
    format!(
        "{} {} (build-id {build_id})",
        kernel.release, kernel.machine
    )
}

fn split_u32(bytes: &[u8]) -> (u32, &[u8]) {
    let (word, rest) = bytes.split_at(4);
    (
        u32::from_le_bytes([word[0], word[1], word[2], word[3]]),
        rest,
    )
}

/// FNV-1a, 64 bits: enough to notice damage; nobody is kept out by it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::FieldResult;
    use crate::offsets::Method;
    use crate::offsets::Status;
    use proptest::prelude::any;
    use proptest::proptest;

    fn kernel(release: &str) -> KernelIdentity {
        KernelIdentity {
            release: release.into(),
            version: "#1 SMP".into(),
            machine: "x86_64".into(),
            build_id: Some("ab".repeat(20)),
        }
    }

    fn sample() -> Document {
        Document {
            schema: Document::SCHEMA,
            kernel: kernel("6.12.1"),
            elapsed_us: 12_000,
            fields: vec![FieldResult {
                name: "nf_conn.status".into(),
                status: Status::Proven,
                offset: Some(128),
                size: 8,
                method: Some(Method::GuessBtf),
                evidence_bits: Some(58),
                candidates: vec![128],
                btf_offset: Some(128),
                reason: None,
            }],
        }
    }

    #[test]
    fn round_trip_on_the_same_kernel() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode_for(&bytes, &kernel("6.12.1")), Ok(sample()));
    }

    #[test]
    fn another_kernel_is_refused_even_by_one_build() {
        let bytes = encode(&sample()).unwrap();
        let mut other = kernel("6.12.1");
        other.version = "#2 SMP".into();
        assert!(matches!(
            decode_for(&bytes, &other),
            Err(DecodeError::OtherKernel { .. })
        ));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode(&[]), Err(DecodeError::Empty));
        for len in 1..bytes.len() {
            let error = decode(&bytes[..len]).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated { .. }),
                "cut at {len}: {error}"
            );
        }
    }

    #[test]
    fn foreign_newer_and_oversized_documents_are_told_apart() {
        assert_eq!(
            decode(b"\x7fELF and so on, and so on"),
            Err(DecodeError::Foreign)
        );

        let mut newer = sample();
        newer.schema = 2;
        assert_eq!(
            decode(&encode(&newer).unwrap()),
            Err(DecodeError::Schema { found: 2 })
        );

        let mut longer = encode(&sample()).unwrap();
        longer.push(0);
        assert!(matches!(
            decode(&longer),
            Err(DecodeError::Oversized { .. })
        ));
        let huge = vec![0; MAX_DOCUMENT_BYTES + 1];
        assert!(matches!(decode(&huge), Err(DecodeError::Oversized { .. })));
    }

    #[test]
    fn a_body_of_another_schema_than_its_head_is_corrupt() {
        let mut newer = sample();
        newer.schema = 2;
        let mut bytes = encode(&newer).unwrap();
        bytes[8..12].copy_from_slice(&Document::SCHEMA.to_le_bytes());
        assert!(matches!(decode(&bytes), Err(DecodeError::Corrupt(_))));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_never_passes(at in 0usize..10_000, bit in 0u8..8) {
            let mut bytes = encode(&sample()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(Document::SCHEMA.to_le_bytes());
            bytes.extend((tail.len() as u32).to_le_bytes());
            bytes.extend(fnv1a(&tail).to_le_bytes());
            bytes.extend(tail);
            let _ = decode(&bytes);
        }
    }
}
