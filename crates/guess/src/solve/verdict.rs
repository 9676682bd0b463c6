//! The verdict on each field: proven, ambiguous or missing, and why.

use std::borrow::Cow;
use std::ops::Range;

use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;

use super::evidence::ENOUGH_BITS;
use super::search::Search;
use super::solver::Solver;
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
    /// Whether it is proven: only then may its offset be used.
    pub status: Status,
    /// The offsets that no sample contradicts.
    pub candidates: Vec<u32>,
    /// The evidence of the samples in bits; none if there was no sample.
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

    /// Makes the field ambiguous.
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
        let searches = self.searches_along_proven_paths(spec);
        match common_offsets(&searches)?.as_slice() {
            [only] if self.bits(spec, &searches) >= ENOUGH_BITS => Some(*only),
            _ => None,
        }
    }

    /// The paths to a struct over proven pointers only. For an index, the paths to its buffer.
    #[must_use]
    pub fn proven_paths(&self, end: Struct) -> Vec<AccessPath> {
        paths_to(end, &|place| {
            let needed = self.needed.contains(&place);
            needed.then(|| self.proven(place)).flatten()
        })
    }

    /// Every offset that is proven so far, including those that only help to find another.
    #[must_use]
    pub fn all_proven(&self) -> Proven {
        let places = self.needed.iter();
        places
            .filter_map(|place| Some((*place, self.proven(*place)?)))
            .collect()
    }

    /// The searches for a place along proven paths that have seen samples.
    pub(super) fn searches_along_proven_paths(&self, spec: &Spec) -> Vec<&Search> {
        let paths = self.proven_paths(spec.searched_at());
        let of_place = self
            .searches
            .iter()
            .filter(|one| one.spec.place == spec.place);
        of_place
            .filter(|one| one.candidates.left().is_some() && paths.contains(&one.path))
            .collect()
    }

    /// The evidence of all searches for a place together.
    fn bits(&self, spec: &Spec, searches: &[&Search]) -> u32 {
        // A listener has neither peer nor packets, so an offset that is right only for it may be a copy.
        let of_packet = |search: &&&Search| search.path.event != Event::SockState;
        let mut of_packets = searches.iter().filter(of_packet).peekable();
        if of_packets.peek().is_none() {
            return 0;
        }
        match spec.content {
            // A pointer's own value is random to us, so its evidence is what was found behind it.
            Content::Pointer { .. } => {
                let behind = of_packets.map(|search| self.bits_behind(search));
                behind.max().unwrap_or(0)
            }
            _ => bits_of(searches),
        }
    }

    /// The weakest evidence of what must be behind the only candidate of a pointer.
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
        let spec = Place::Field(field).spec();
        let searches = self.searches_along_proven_paths(spec);
        let Some(candidates) = common_offsets(&searches) else {
            return Finding {
                field,
                status: Status::Missing,
                candidates: Vec::new(),
                evidence_bits: None,
                reason: Some(self.why_unseen(spec.searched_at())),
            };
        };
        let bits = self.bits(spec, &searches);
        let window = spec.inside.window_bytes();
        let (status, why) = match candidates.len() {
            0 if searches
                .first()
                .is_some_and(|first| !first.candidates.is_empty()) =>
            {
                let why = "the paths that lead to it contradict each other";
                (Status::Ambiguous, why.to_owned())
            }
            0 => {
                let why = format!("no offset below {window} agrees with every sample");
                (Status::Missing, why)
            }
            1 if bits >= ENOUGH_BITS => (Status::Proven, String::new()),
            1 => (
                Status::Ambiguous,
                format!("{bits} bits of evidence are less than {ENOUGH_BITS}"),
            ),
            several => (
                Status::Ambiguous,
                format!("{several} offsets agree with every sample"),
            ),
        };
        Finding {
            field,
            status,
            candidates,
            evidence_bits: Some(bits),
            reason: (status != Status::Proven).then_some(why),
        }
    }

    /// Why no sample shows what is searched in this struct.
    fn why_unseen(&self, end: Struct) -> String {
        if !self.proven_paths(end).is_empty() {
            return "no sample determined it".into();
        }
        let pointers = end.reached_by().map(|pointer| pointer.place);
        let needed = pointers.filter(|place| self.needed.contains(place));
        let names: Vec<&str> = needed.map(Place::path).collect();
        format!("{}, which leads to it, is not proven", names.join(" or "))
    }
}

/// The offsets on which all searches for one place agree; none if there are no searches.
fn common_offsets(searches: &[&Search]) -> Option<Vec<u32>> {
    let (first, others) = searches.split_first()?;
    let mut offsets = first.candidates.alive()?;
    offsets.retain(|offset| {
        others
            .iter()
            .all(|other| other.candidates.is_alive(*offset))
    });
    Some(offsets)
}

/// The evidence for one place along all paths.
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

/// Two fields cannot share a byte. If they seem to, neither is proven.
fn withdraw_overlapping(findings: &mut [Finding]) {
    let span = |finding: &Finding| {
        let start = finding.offset()?;
        Some((finding.field, start..start + finding.field.size_bytes()))
    };
    let spans: Vec<(Field, Range<u32>)> = findings.iter().filter_map(span).collect();
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
