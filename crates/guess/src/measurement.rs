//! What a measurement returns.

use std::io;

use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Status;

use crate::attempt::Attempt;
use crate::solve::verdict::Finding;
use crate::timing::Timing;

/// What a measurement found.
#[derive(Debug)]
pub struct Measurement {
    /// The verdict on each field, in the requested order.
    pub findings: Vec<Finding>,
    /// How it was found; none if fresh connections confirmed [`Options::known`](crate::Options::known).
    pub attempt: Option<Attempt>,
    /// How long each phase took.
    pub timing: Timing,
}

impl Measurement {
    /// The offset of a field in bytes, if it is proven.
    #[must_use]
    pub fn offset(&self, field: Field) -> Option<u32> {
        let mut findings = self.findings.iter();
        findings.find(|one| one.field == field)?.offset()
    }

    /// Whether every field is proven.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|one| one.status == Status::Proven)
    }

    /// The offsets as a document for the running kernel, which `conntrack` reads.
    ///
    /// # Errors
    /// If the running kernel cannot be identified.
    pub fn document(&self) -> io::Result<Document> {
        Ok(Document {
            schema: Document::SCHEMA,
            kernel: KernelIdentity::running()?,
            elapsed_us: self.timing.elapsed_us(),
            fields: self.findings.iter().map(FieldResult::from).collect(),
        })
    }
}
