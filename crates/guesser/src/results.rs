//! The entries of the document: a measured offset compared with BTF, or an offset from BTF alone.

use guess::fields::Place;
use guess::solve::verdict::Finding;
use shared::exit::Failure;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::Method;
use shared::offsets::Status;

use crate::btf::TypeInfo;

/// The entry of a place whose offset needs no evidence.
#[must_use]
pub fn entry(place: Place, offset: Option<u32>, method: Method) -> FieldResult {
    FieldResult {
        name: place.path().into(),
        status: offset.map_or(Status::Missing, |_| Status::Proven),
        offset,
        size: place.size_bytes(),
        method: offset.map(|_| method),
        evidence_bits: None,
        candidates: offset.into_iter().collect(),
        btf_offset: None,
        reason: None,
    }
}

/// The entry of a measured field. Where BTF says something else, a warning says so and the measured offset
/// stays.
#[must_use]
pub fn compared(finding: &Finding, btf_offset: Option<u32>) -> FieldResult {
    let mut result = FieldResult::from(finding);
    result.btf_offset = btf_offset;
    match (result.offset, btf_offset) {
        (Some(measured), Some(btf)) if measured == btf => result.method = Some(Method::GuessBtf),
        (Some(measured), Some(btf)) => {
            let field = finding.field;
            log::warn!("{field}: measured at {measured}, BTF says {btf}; the measured one is kept");
        }
        _ => {}
    }
    result
}

/// The entries of these fields as the running kernel's type information has them.
///
/// # Errors
/// Exit 5 if the kernel has none that can be read.
pub fn from_btf(fields: &[Field]) -> anyhow::Result<Vec<FieldResult>> {
    let info = TypeInfo::of_running(fields).map_err(|error| {
        let why = format!("this kernel has no readable type information: {error:#}");
        Failure::Kernel(why)
    })?;
    let result = |field: &Field| {
        let offset = info.offset(*field);
        FieldResult {
            btf_offset: offset,
            reason: info.reason(*field).map(str::to_owned),
            ..entry(Place::Field(*field), offset, Method::Btf)
        }
    };
    Ok(fields.iter().map(result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(candidates: &[u32]) -> Finding {
        let status = match candidates {
            [_] => Status::Proven,
            _ => Status::Ambiguous,
        };
        Finding {
            field: Field::NfConnMark,
            status,
            candidates: candidates.to_vec(),
            evidence_bits: Some(99),
            reason: None,
        }
    }

    #[test]
    fn the_measured_offset_is_kept_whatever_btf_says() {
        for (candidates, btf, method, offset) in [
            (&[168][..], Some(168), Some(Method::GuessBtf), Some(168)),
            (&[168], Some(176), Some(Method::Guess), Some(168)),
            (&[168], None, Some(Method::Guess), Some(168)),
            // BTF must not choose among candidates.
            (&[168, 176], Some(176), None, None),
        ] {
            let result = compared(&finding(candidates), btf);
            assert_eq!((result.method, result.offset), (method, offset));
            assert_eq!(result.btf_offset, btf);
            assert_eq!(result.candidates, candidates);
        }
    }
}
