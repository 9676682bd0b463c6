//! The judge: one run of guesser against the truth. Knows neither how guesser works nor how the
//! truth was had. A wrong offset is the worst that there is; silence without a reason comes next.

use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::Status;

use super::kernels::Reasons;
use super::truth::Truth;
use super::truth::Truths;
use crate::witness::Testimony;

/// What must come out of a run.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// `uname -r` of the kernel.
    pub release: &'a str,
    /// What was asked for.
    pub fields: &'a [Field],
    /// Where they are.
    pub truths: &'a Truths,
    /// Which of them need not be proven.
    pub reasons: &'a Reasons,
}

/// Verdict on a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was proven and is right.
    pub right: Vec<Field>,
    /// What was claimed and is not so, in a sentence each.
    pub wrong: Vec<String>,
    /// What should have been proven or told and was not, in a sentence each.
    pub missed: Vec<String>,
}

impl Verdict {
    /// Everything that was to be proven is, and nothing is wrong.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.wrong.is_empty() && self.missed.is_empty()
    }
}

/// Judges a run by the document that it wrote, and by how it ended.
#[must_use]
pub fn judge(expected: &Expectation, run: &Testimony) -> Verdict {
    let said = last_line(&run.err);
    match serde_json::from_str::<Document>(&run.out) {
        Ok(document) => {
            let mut verdict = judge_document(expected, &document);
            // A shell reads the exit code alone.
            let due = exit_of(expected.fields, &document);
            match run.code {
                Some(code) if code == due => {}
                Some(code) => verdict.missed.push(format!(
                    "exit {code} with a document that goes with exit {due}: {said}"
                )),
                None => verdict.missed.push(format!(
                    "wrote a document and did not end by itself: {said}"
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

/// The last line of a text; guesser gives its reason for ending there.
fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("nothing said")
}

fn judge_document(expected: &Expectation, document: &Document) -> Verdict {
    let mut verdict = Verdict::default();
    let release = &document.kernel.release;
    if release != expected.release {
        verdict.wrong.push(format!(
            "says that this is {release}, and it is {}",
            expected.release
        ));
    }
    for (at, found) in document.fields.iter().enumerate() {
        // A field twice could say two things, of which a reader takes one.
        if document.fields[..at]
            .iter()
            .any(|other| other.name == found.name)
        {
            verdict.wrong.push(format!("{} is told twice", found.name));
        }
        match found.name.parse() {
            Ok(field) if found.status == Status::Proven => {
                match (found.offset, expected.truths.of(field)) {
                    (Some(said), Truth::At(offset)) if said == offset => verdict.right.push(field),
                    (Some(said), Truth::At(offset)) => verdict
                        .wrong
                        .push(format!("{field}: proven at {said}, is at {offset}")),
                    (Some(said), Truth::Absent) => verdict
                        .wrong
                        .push(format!("{field}: proven at {said}, is not in this kernel")),
                    (None, _) => verdict
                        .wrong
                        .push(format!("{field}: proven without an offset")),
                }
            }
            Ok(field) if found.offset.is_some() => verdict
                .wrong
                .push(format!("{field}: an offset, though not proven")),
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
                } else if found.status == Status::Ambiguous
                    && expected.truths.of(*field) == Truth::Absent
                {
                    // No reason excuses places for what is nowhere.
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
