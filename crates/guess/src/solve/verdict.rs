//! What the searches amount to, field by field: proven, ambiguous or missing, and why.

use std::borrow::Cow;
use std::ops::Range;

use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;

use super::Solver;
use super::evidence::ENOUGH_BITS;
use super::search::Search;
use crate::fields::Content;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Spec;
use crate::fields::Struct;
use crate::path::AccessPath;
use crate::path::paths_to;
use crate::proven::Proven;

/// The verdict on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The field.
    pub field: Field,
    /// Whether its offset may be used.
    pub status: Status,
    /// The offsets that no sample contradicts.
    pub candidates: Vec<u32>,
    /// What the samples prove, in bits; none if there was no sample.
    pub evidence_bits: Option<u32>,
    /// Why it is not proven.
    pub reason: Option<String>,
}

impl Finding {
    /// The offset of a proven field.
    #[must_use]
    pub fn offset(&self) -> Option<u32> {
        match (self.status, self.candidates.as_slice()) {
            (Status::Proven, [only]) => Some(*only),
            _ => None,
        }
    }

    /// Takes back that the field is proven.
    pub fn withdraw(&mut self, reason: String) {
        self.status = Status::Ambiguous;
        self.reason = Some(reason);
    }
}

impl From<&Finding> for FieldResult {
    fn from(finding: &Finding) -> Self {
        let offset = finding.offset();
        Self {
            name: finding.field.path().into(),
            status: finding.status,
            offset,
            size: finding.field.size_bytes(),
            method: offset.map(|_| Method::Guess),
            evidence_bits: finding.evidence_bits,
            candidates: finding.candidates.clone(),
            btf_offset: None,
            reason: finding.reason.clone(),
        }
    }
}

impl Solver {
    /// The verdict on each requested field.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.fields.iter().map(|field| self.judge(*field)).collect();
        withdraw_overlapping(&mut findings);
        findings
    }

    /// The offset of a place, if it is proven.
    #[must_use]
    pub fn proven(&self, place: Place) -> Option<u32> {
        let spec = place.spec();
        let along = self.along_proven_paths(spec);
        match along.alive.as_deref() {
            Some([only]) if self.bits(spec, &along.searches) >= ENOUGH_BITS => Some(*only),
            _ => None,
        }
    }

    /// The ways to a struct that lead over proven pointers only. Of an index, ways to the buffer.
    #[must_use]
    pub fn proven_paths(&self, end: Struct) -> Vec<AccessPath> {
        paths_to(end, &|place| {
            let needed = self.needed.contains(&place);
            needed.then(|| self.proven(place)).flatten()
        })
    }

    /// Every offset that is proven so far, also of what only helps to find another.
    #[must_use]
    pub fn all_proven(&self) -> Proven {
        let places = self.needed.iter();
        places
            .filter_map(|place| Some((*place, self.proven(*place)?)))
            .collect()
    }

    /// The searches for a place along some ways that have seen samples.
    pub(super) fn searches_along(&self, spec: &Spec, paths: &[AccessPath]) -> Vec<&Search> {
        self.searches
            .iter()
            .filter(|search| {
                search.spec.place == spec.place
                    && search.candidates.left().is_some()
                    && paths.contains(&search.path)
            })
            .collect()
    }

    /// The searches for a place along all proven ways to it, taken together.
    fn along_proven_paths(&self, spec: &Spec) -> Together<'_> {
        let paths = self.proven_paths(spec.searched_at());
        let searches = self.searches_along(spec, &paths);
        let mut together = Together {
            reached: !paths.is_empty(),
            alive: None,
            contradictory: false,
            searches,
        };
        for search in &together.searches {
            let alive = search.candidates.alive().unwrap_or_default();
            let before = together.alive.take();
            let left = match &before {
                None => alive,
                Some(before) => before
                    .iter()
                    .copied()
                    .filter(|offset| alive.contains(offset))
                    .collect(),
            };
            together.contradictory |= left.is_empty() && before.is_some_and(|all| !all.is_empty());
            together.alive = Some(left);
        }
        together
    }

    /// What the searches for a place prove together.
    fn bits(&self, spec: &Spec, searches: &[&Search]) -> u32 {
        // A listener has neither peer nor packets: what is right for it alone may be a copy.
        let mut of_packets = searches
            .iter()
            .filter(|search| search.path.event != Event::SockState)
            .peekable();
        if of_packets.peek().is_none() {
            return 0;
        }
        match spec.content {
            // A pointer's own value is random to us, so it is worth what was found behind it.
            Content::Pointer { .. } => {
                let behind = of_packets.map(|search| self.bits_behind(search));
                behind.max().unwrap_or(0)
            }
            _ => bits_of(searches),
        }
    }

    /// What was found behind the only candidate of a pointer: the weakest of what must be there.
    fn bits_behind(&self, pointer: &Search) -> u32 {
        let Some(offset) = pointer.candidates.only() else {
            return 0;
        };
        let behind = pointer.path.then(pointer.spec.place, offset);
        let worth = |place: &Place| {
            self.searches
                .iter()
                .find(|found| found.path == behind && found.spec.place == *place)
                .filter(|found| found.candidates.only().is_some())
                .map_or(0, |found| found.evidence.net_bits())
        };
        let weakest = pointer.spec.proof().iter().map(worth).min().unwrap_or(0);
        weakest.saturating_sub(pointer.evidence.search_bits())
    }

    fn judge(&self, field: Field) -> Finding {
        let finding = |status, candidates, evidence_bits, reason: Option<String>| Finding {
            field,
            status,
            candidates,
            evidence_bits,
            reason,
        };
        let spec = Place::Field(field).spec();
        let together = self.along_proven_paths(spec);
        let Some(alive) = together.alive else {
            let why = if together.reached {
                "no sample determined it".to_owned()
            } else {
                self.why_unreached(spec.searched_at())
            };
            return finding(Status::Missing, Vec::new(), None, Some(why));
        };
        let bits = self.bits(spec, &together.searches);
        let (status, why) = match alive.len() {
            0 if together.contradictory => {
                let why = "the ways that lead to it contradict each other".to_owned();
                (Status::Ambiguous, Some(why))
            }
            0 => {
                let window = spec.inside.window_bytes();
                let why = format!("no offset below {window} agrees with every sample");
                (Status::Missing, Some(why))
            }
            1 if bits >= ENOUGH_BITS => (Status::Proven, None),
            1 => {
                let why = format!("{bits} bits of evidence are less than {ENOUGH_BITS}");
                (Status::Ambiguous, Some(why))
            }
            several => {
                let why = format!("{several} offsets agree with every sample");
                (Status::Ambiguous, Some(why))
            }
        };
        finding(status, alive, Some(bits), why)
    }

    fn why_unreached(&self, end: Struct) -> String {
        let needed = |pointer: &&Spec| self.needed.contains(&pointer.place);
        let pointers: Vec<&str> = end
            .reached_by()
            .filter(needed)
            .map(|pointer| pointer.place.path())
            .collect();
        format!(
            "{}, which leads to it, is not proven",
            pointers.join(" or ")
        )
    }
}

/// What the samples of one place prove, along whichever ways.
fn bits_of(searches: &[&Search]) -> u32 {
    let Some((first, others)) = searches.split_first() else {
        return 0;
    };
    let mut evidence = Cow::Borrowed(&first.evidence);
    for other in others {
        evidence.to_mut().join(&other.evidence);
    }
    evidence.net_bits()
}

/// What all searches for one place say.
struct Together<'a> {
    /// Whether a proven way leads there.
    reached: bool,
    /// What none of them contradicts; none if no sample was seen.
    alive: Option<Vec<u32>>,
    /// Whether each of them found something, but nothing that all agree on.
    contradictory: bool,
    /// The searches.
    searches: Vec<&'a Search>,
}

/// Two fields cannot share a byte: if they seem to, neither is proven.
fn withdraw_overlapping(findings: &mut [Finding]) {
    let spans: Vec<(Field, Range<u32>)> = findings
        .iter()
        .filter_map(|finding| {
            let start = finding.offset()?;
            Some((finding.field, start..start + finding.field.size_bytes()))
        })
        .collect();
    for finding in findings {
        let Some((_, own)) = spans.iter().find(|(field, _)| *field == finding.field) else {
            continue;
        };
        let rival = spans.iter().find(|(other, bytes)| {
            *other != finding.field
                && Place::Field(*other).spec().inside == Place::Field(finding.field).spec().inside
                && bytes.start < own.end
                && own.start < bytes.end
        });
        if let Some((rival, _)) = rival {
            finding.withdraw(format!("it would overlap {rival}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(field: Field, offset: u32) -> Finding {
        Finding {
            field,
            status: Status::Proven,
            candidates: vec![offset],
            evidence_bits: Some(99),
            reason: None,
        }
    }

    #[test]
    fn fields_on_top_of_each_other_are_all_withdrawn() {
        let mut findings = [
            found(Field::NfConnMark, 168),
            found(Field::NfConnZone, 170),
            found(Field::NfConnStatus, 160),
            // Another struct: its offsets have nothing to do with these.
            found(Field::NetNsInum, 168),
        ];
        withdraw_overlapping(&mut findings);
        let proven = findings.map(|finding| finding.offset().is_some());
        assert_eq!(proven, [false, false, true, true]);
    }
}
