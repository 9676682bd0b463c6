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
    /// What should have been proven and was not, in a sentence each.
    pub missed: Vec<String>,
}

impl Verdict {
    /// Everything that was to be proven is, and nothing is wrong.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.wrong.is_empty() && self.missed.is_empty()
    }
}

/// Judges a run by the document that it wrote.
#[must_use]
pub fn judge(expected: &Expectation, run: &Testimony) -> Verdict {
    match serde_json::from_str::<Document>(&run.out) {
        Ok(document) => judge_document(expected, &document),
        Err(error) => {
            let said = last_line(&run.err);
            Verdict {
                missed: vec![match (run.code, run.out.is_empty()) {
                    (Some(code), true) => format!("no document, exit {code}: {said}"),
                    (None, _) => format!("did not end by itself: {said}"),
                    (Some(_), false) => format!("no document of guesser: {error}"),
                }],
                ..Verdict::default()
            }
        }
    }
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
            Some(found)
                if found.status != Status::Proven && !expected.reasons.contains_key(field) =>
            {
                let status = format!("{:?}", found.status).to_lowercase();
                let reason = found.reason.as_deref().unwrap_or("no reason given");
                verdict.missed.push(format!("{field}: {status}: {reason}"));
            }
            Some(_) => {}
        }
    }
    verdict
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
