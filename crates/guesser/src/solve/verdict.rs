//! What the searches amount to, field by field: proven, ambiguous or missing, and why.

use std::ops::Range;

use shared::offsets::Field;
use shared::offsets::Status;

use super::Solver;
use super::evidence::ENOUGH_BITS;
use super::track::Track;
use crate::fields::Kind;
use crate::fields::Spec;
use crate::fields::spec;
use crate::way::Way;

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

impl Solver {
    /// The verdict on each requested field.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.fields.iter().map(|field| self.judge(*field)).collect();
        withdraw_overlapping(&mut findings);
        findings
    }

    /// The way to a proven field and its offset.
    #[must_use]
    pub fn proven(&self, field: Field) -> Option<(Way, u32)> {
        let spec = spec(field);
        let track = self.track(spec)?;
        let offset = track.only()?;
        (self.net_bits(track) >= ENOUGH_BITS).then(|| (track.way.clone(), offset))
    }

    fn judge(&self, field: Field) -> Finding {
        let finding = |status, candidates, evidence_bits, reason: Option<String>| Finding {
            field,
            status,
            candidates,
            evidence_bits,
            reason,
        };
        let spec = spec(field);
        let Some(track) = self.track(spec) else {
            let pointer = spec.inside.reached_by().map(|pointer| pointer.field);
            let why = pointer.map(|pointer| format!("{pointer}, which leads to it, is not proven"));
            return finding(Status::Missing, Vec::new(), None, why);
        };
        let Some(alive) = track.alive() else {
            let why = "no sample determined it".to_owned();
            return finding(Status::Missing, Vec::new(), None, Some(why));
        };
        let bits = self.net_bits(track);
        let (status, why) = match alive.len() {
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

    /// The search for a field behind proven pointers.
    pub(super) fn track(&self, spec: &Spec) -> Option<&Track> {
        let way = match spec.inside.reached_by() {
            None => Way::default(),
            Some(pointer) => {
                let (way, offset) = self.proven(pointer.field)?;
                way.then(pointer.field, offset)
            }
        };
        self.tracks
            .iter()
            .find(|track| track.spec.field == spec.field && track.way == way)
    }

    /// What the samples of a field prove. A pointer's own value is random to us, so it is worth
    /// what was found behind it: the weakest of what must be there.
    fn net_bits(&self, track: &Track) -> u32 {
        let Kind::Pointer { proof, .. } = track.spec.kind else {
            return track.evidence.net_bits();
        };
        let Some(offset) = track.only() else {
            return 0;
        };
        let behind = track.way.then(track.spec.field, offset);
        let worth = |field: &Field| {
            self.tracks
                .iter()
                .find(|found| found.way == behind && found.spec.field == *field)
                .filter(|found| found.only().is_some())
                .map_or(0, |found| found.evidence.net_bits())
        };
        let weakest = proof.iter().map(worth).min().unwrap_or(0);
        weakest.saturating_sub(track.evidence.search_bits())
    }
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
                && spec(*other).inside == spec(finding.field).inside
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
