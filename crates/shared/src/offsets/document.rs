//! The measured offsets as values: status, offset and evidence of each field. Does no I/O; a reader gets an
//! offset only through its status.

use bincode::Decode;
use bincode::Encode;
use serde::Deserialize;
use serde::Serialize;

use super::Field;
use crate::kernel::KernelIdentity;

/// All results of one run of `guesser`, for exactly one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Document {
    /// [`Document::SCHEMA`] of the writer.
    pub schema: u32,
    /// The kernel that was measured.
    pub kernel: KernelIdentity,
    /// Time from process start to result, in microseconds.
    pub elapsed_us: u64,
    /// One entry for each requested field.
    pub fields: Vec<FieldResult>,
}

/// What is known of one field.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct FieldResult {
    /// [`Field::path`].
    pub name: String,
    /// Whether `offset` may be used.
    pub status: Status,
    /// Byte offset in the struct; present only when proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Bytes of the field.
    pub size: u32,
    /// Where the offset comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Bits of evidence behind the offset: the surprise, over all samples, of a match by chance,
    /// less the size of the search. Absent when nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_bits: Option<u32>,
    /// Offsets that no sample contradicts.
    pub candidates: Vec<u32>,
    /// What the kernel's type information says, where it was asked; kept even when it disagrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub btf_offset: Option<u32>,
    /// Why the field is not proven, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Verdict on one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// One candidate is left, with enough evidence, and fresh connections confirmed it; or the kernel's
    /// type information says so.
    Proven,
    /// Several candidates agree with every sample, or one is left with too little evidence.
    Ambiguous,
    /// No candidate agrees with every sample, or this kernel has no such field.
    Missing,
}

/// How an offset was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub enum Method {
    /// By experiment.
    #[serde(rename = "guess")]
    Guess,
    /// From the kernel's type information.
    #[serde(rename = "btf")]
    Btf,
    /// By experiment, and the kernel's type information agrees.
    #[serde(rename = "guess+btf")]
    GuessBtf,
}

impl Document {
    /// Version of the document's form. A reader refuses any other.
    pub const SCHEMA: u32 = 1;

    /// The offset of a proven field.
    #[must_use]
    pub fn proven(&self, field: Field) -> Option<u32> {
        self.result(field)
            .filter(|found| found.status == Status::Proven)?
            .offset
    }

    /// The entry of a field, if it was requested.
    #[must_use]
    pub fn result(&self, field: Field) -> Option<&FieldResult> {
        self.fields.iter().find(|found| found.name == field.path())
    }
}
