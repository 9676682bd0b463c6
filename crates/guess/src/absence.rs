//! Why no experiment can determine a field on this kernel, or only a part of it: the reasons that are not
//! in the samples.

use std::collections::BTreeMap;

use lab::Part;
use shared::offsets::Field;

use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::ladder::Ladder;
use crate::sample::site::Site;
use crate::sample::sites::Sites;

/// Fewer namespaces behind a pointer are not evidence enough.
const NAMESPACES: usize = 3;
/// Fields that exist or matter only on a kernel with network namespaces.
const OF_NAMESPACES: [Field; 3] = [Field::NfConnCtNet, Field::SockNet, Field::NetNsInum];

/// For each field that no sample will prove, the reason.
pub fn hopeless(fields: &[Field], sites: &Sites, ladder: &Ladder) -> BTreeMap<Field, String> {
    let reason = |field: &Field| Some((*field, why(*field, sites, ladder)?));
    fields.iter().filter_map(reason).collect()
}

fn why(field: Field, sites: &Sites, ladder: &Ladder) -> Option<String> {
    if OF_NAMESPACES.contains(&field) && !sites.are_namespaces() {
        return Some("this kernel has no network namespaces".into());
    }
    let is_numbered = |site: &&Site| site.inum.is_some();
    let numbered = sites.tracked.iter().filter(is_numbered).count();
    let are_tracked = sites.are_namespaces() && !sites.tracked.is_empty();
    if field == Field::NfConnCtNet && are_tracked && numbered < NAMESPACES {
        return Some(format!(
            "connections are tracked in {numbered} namespaces, {NAMESPACES} are needed"
        ));
    }
    let inside = Place::Field(field).spec().inside;
    if let Some(error) = &sites.untracked_because {
        if inside == Struct::NfConn || field == Field::SkBuffNfct {
            return Some(format!("{error:#}"));
        }
    }
    let part = match field {
        Field::NfConnZone => Some(Part::Zone),
        Field::NfConnMark => Some(Part::Mark),
        _ => None,
    };
    if let Some(refusal) = part.and_then(|part| refusal(part, sites)) {
        return Some(refusal);
    }
    if !sites.have_inet6() {
        if inside == Struct::Flowi6 {
            return Some("IPv6 is not in force: there are no IPv6 sockets".into());
        }
        if field == Field::SockFamily {
            return Some(
                "IPv6 is not in force: sockets of one family alone do not prove it".into(),
            );
        }
    }
    let mut events = Event::ALL.into_iter();
    let event = events.find(|event| event.shows() == inside && inside != Struct::Sock)?;
    let has_no_hook = ladder.hook(event).is_none();
    has_no_hook.then(|| format!("no hook shows it ({})", ladder.why_not(event)))
}

/// Why the status of connections takes fewer values than on other kernels.
pub fn limits(field: Field, sites: &Sites) -> Option<String> {
    let parts = [Part::Dnat, Part::Snat];
    let mut refusals = parts.iter().filter_map(|part| refusal(*part, sites));
    refusals.next().filter(|_| field == Field::NfConnStatus)
}

fn refusal(part: Part, sites: &Sites) -> Option<String> {
    let tracking = sites
        .tracked
        .iter()
        .filter_map(|site| site.tracking.as_ref());
    let mut refused = tracking.flat_map(|tracking| &tracking.refused);
    let (_, refusal) = refused.find(|(refused, _)| *refused == part)?;
    Some(format!("this kernel refuses {part:?} rules: {refusal}"))
}
