//! The offsets document as bytes, see [`crate::sealed`]. Each fault of foreign bytes has an error of its own.

use super::Document;
use crate::kernel::KernelIdentity;
use crate::sealed::Broken;
use crate::sealed::Seal;

/// Largest document that is written or read. A full one is about 3 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

const SEAL: Seal<MAX_DOCUMENT_BYTES> = Seal {
    name: "offsets document",
    magic: *b"SXTOFF\r\n",
    version: Document::SCHEMA,
};

/// Why bytes are not an offsets document that may be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They are not a document.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Measured on another kernel.
    #[error("offsets of another kernel: measured on {measured}, running {running}")]
    OtherKernel {
        /// Release and build-id in the document.
        measured: String,
        /// Release and build-id here.
        running: String,
    },
}

/// The document as bytes.
///
/// # Errors
/// If it would be larger than [`MAX_DOCUMENT_BYTES`].
pub fn encode(document: &Document) -> Result<Vec<u8>, DecodeError> {
    let seal = Seal {
        version: document.schema,
        ..SEAL
    };
    Ok(seal.encode(document)?)
}

/// Reads a document, whatever kernel it is of. Trailing bytes are an error.
///
/// # Errors
/// A [`DecodeError`] that names what is wrong.
pub fn decode(bytes: &[u8]) -> Result<Document, DecodeError> {
    let document: Document = SEAL.decode(bytes)?;
    if document.schema != Document::SCHEMA {
        let why = "head and body are of different schemas".into();
        return Err(SEAL.corrupt(why).into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::FieldResult;
    use crate::offsets::Method;
    use crate::offsets::Status;

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
    fn a_newer_document_is_refused() {
        let mut newer = sample();
        newer.schema = 2;
        let error = decode(&encode(&newer).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offsets document of version 2, this program reads 1"
        );
    }

    #[test]
    fn a_body_of_another_schema_than_its_head_is_corrupt() {
        let mut newer = sample();
        newer.schema = 2;
        let mut bytes = encode(&newer).unwrap();
        bytes[8..12].copy_from_slice(&Document::SCHEMA.to_le_bytes());
        let error = decode(&bytes).unwrap_err();
        assert!(error.to_string().contains("different schemas"), "{error}");
    }
}
