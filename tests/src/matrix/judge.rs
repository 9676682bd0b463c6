//! The judge: compares one run of guesser with the kernel's layout. It does not know how either came about.
//! A wrong offset is the worst result; a field that is not proven, without a reason, comes next.

use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::Status;

use super::kernels::Reasons;
use super::layout::Layout;
use crate::run::Run;

/// What must come out of a run.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// `uname -r` of the kernel.
    pub release: &'a str,
    /// What was asked for.
    pub fields: &'a [Field],
    /// Where they really are.
    pub layout: &'a Layout,
    /// Fields that need not be proven, and why.
    pub reasons: &'a Reasons,
}

/// Verdict on a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Fields that are proven and right.
    pub right: Vec<Field>,
    /// Wrong claims, in a sentence each.
    pub wrong: Vec<String>,
    /// What should have been proven or reported and was not, in a sentence each.
    pub missed: Vec<String>,
}

impl Verdict {
    /// Nothing is wrong or missed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.wrong.is_empty() && self.missed.is_empty()
    }
}

/// Judges a run by the document that it wrote, and by how it ended.
#[must_use]
pub fn judge(expected: &Expectation, run: &Run) -> Verdict {
    let said = last_line(&run.err);
    match serde_json::from_str::<Document>(&run.out) {
        Ok(document) => {
            let mut verdict = judge_document(expected, &document);
            // A shell reads only the exit code.
            let due = exit_of(expected.fields, &document);
            match run.code {
                Some(code) if code == due => {}
                Some(code) => verdict.missed.push(format!(
                    "exit {code} with a document that needs exit {due}: {said}"
                )),
                None => verdict.missed.push(format!(
                    "wrote a document, but did not end by itself: {said}"
                )),
            }
            verdict
        }
        Err(error) => Verdict {
            missed: vec![match (run.code, run.out.is_empty()) {
                (Some(code), true) => format!("no document, exit {code}: {said}"),
                (None, _) => format!("did not end by itself: {said}"),
                (Some(_), false) => format!("no document of guesser: {error}"),
            }],
            ..Verdict::default()
        },
    }
}

/// The exit code that is documented for a run that writes this.
fn exit_of(asked: &[Field], document: &Document) -> i32 {
    let is_proven = |field: &Field| {
        let found = document.result(*field);
        found.is_some_and(|found| found.status == Status::Proven)
    };
    i32::from(!asked.iter().all(is_proven))
}

/// The last line of a text: guesser ends with its reason.
fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("no message")
}

fn judge_document(expected: &Expectation, document: &Document) -> Verdict {
    let mut verdict = Verdict::default();
    let release = &document.kernel.release;
    if release != expected.release {
        verdict.wrong.push(format!(
            "reports kernel {release}, but this is {}",
            expected.release
        ));
    }
    for (at, found) in document.fields.iter().enumerate() {
        // A reader would take one of the two.
        if document.fields[..at]
            .iter()
            .any(|other| other.name == found.name)
        {
            verdict
                .wrong
                .push(format!("{} is listed twice", found.name));
        }
        match found.name.parse() {
            Ok(field) if found.status == Status::Proven => {
                match (found.offset, expected.layout.of(field)) {
                    (Some(found), Some(offset)) if found == offset => verdict.right.push(field),
                    (Some(found), Some(offset)) => verdict
                        .wrong
                        .push(format!("{field}: proven at {found}, is at {offset}")),
                    (Some(found), None) => verdict
                        .wrong
                        .push(format!("{field}: proven at {found}, is not in this kernel")),
                    (None, _) => verdict
                        .wrong
                        .push(format!("{field}: proven without an offset")),
                }
            }
            Ok(field) if found.offset.is_some() => verdict
                .wrong
                .push(format!("{field}: has an offset, but is not proven")),
            Ok(_) => {}
            Err(_) => verdict.wrong.push(format!("{}: no such field", found.name)),
        }
    }
    for field in expected.fields {
        match document.result(*field) {
            None => verdict.missed.push(format!("{field}: not in the document")),
            Some(found) if found.status != Status::Proven => {
                let status = format!("{:?}", found.status).to_lowercase();
                let reason = found.reason.as_deref().unwrap_or("no reason given");
                if !expected.reasons.contains_key(field) {
                    verdict.missed.push(format!("{field}: {status}: {reason}"));
                } else if found.status == Status::Ambiguous && expected.layout.of(*field).is_none()
                {
                    // No reason excuses candidates for a field that is not there.
                    verdict.missed.push(format!(
                        "{field}: ambiguous, and is not in this kernel: {reason}"
                    ));
                }
            }
            Some(_) => {}
        }
    }
    verdict
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
