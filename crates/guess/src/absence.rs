//! Fields that no experiment can determine on this kernel, or only in part, and why: what a reason
//! says that is not in the samples.

use std::collections::BTreeMap;

use lab::Part;
use shared::offsets::Field;

use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::ladder::Ladder;
use crate::sample::site::Site;
use crate::sample::sites::Sites;

/// So many namespaces have to be seen behind a pointer before their numbers are evidence enough.
const NAMESPACES: usize = 3;
/// Fields that only a kernel with network namespaces has, or has a use for.
const OF_NAMESPACES: [Field; 3] = [Field::NfConnCtNet, Field::SockNet, Field::NetNsInum];

/// Per field the reason why no sample will prove it.
#[must_use]
pub fn hopeless(fields: &[Field], sites: &Sites, ladder: &Ladder) -> BTreeMap<Field, String> {
    fields
        .iter()
        .filter_map(|field| Some((*field, why(*field, sites, ladder)?)))
        .collect()
}

fn why(field: Field, sites: &Sites, ladder: &Ladder) -> Option<String> {
    if OF_NAMESPACES.contains(&field) && !sites.are_namespaces() {
        return Some("this kernel has no network namespaces".into());
    }
    let tell = |site: &&Site| site.inum().is_some();
    let telling = sites.tracked.iter().filter(tell).count();
    let are_some = sites.are_namespaces() && !sites.tracked.is_empty();
    if field == Field::NfConnCtNet && are_some && telling < NAMESPACES {
        return Some(format!(
            "connections are tracked in {telling} namespaces, {NAMESPACES} are needed"
        ));
    }
    let inside = Place::Field(field).spec().inside;
    if let Some(error) = &sites.untracked_because {
        let of_connections = inside == Struct::NfConn || field == Field::SkBuffNfct;
        if of_connections {
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
            return Some("IPv6 is not in force: no socket of it can be had".into());
        }
        if field == Field::SockFamily {
            return Some("IPv6 is not in force: sockets of one family alone do not tell it".into());
        }
    }
    let mut events = Event::ALL.into_iter();
    let event = events.find(|event| event.shows() == inside && inside != Struct::Sock)?;
    let silent = ladder.hook(event).is_none();
    silent.then(|| format!("no hook shows it ({})", ladder.why_not(event)))
}

/// Why a status takes fewer values than it could.
#[must_use]
pub fn limits(field: Field, sites: &Sites) -> Option<String> {
    let parts = [Part::Dnat, Part::Snat];
    let mut refusals = parts.iter().filter_map(|part| refusal(*part, sites));
    refusals.next().filter(|_| field == Field::NfConnStatus)
}

fn refusal(part: Part, sites: &Sites) -> Option<String> {
    let tracking = sites.tracked.iter().filter_map(Site::tracking);
    let mut refused = tracking.flat_map(|tracking| &tracking.refused);
    let (_, refusal) = refused.find(|(refused, _)| *refused == part)?;
    Some(format!("this kernel refuses {part:?} rules: {refusal}"))
}
