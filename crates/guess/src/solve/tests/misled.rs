//! What misleads: copies, stale pointers, pointers that behave alike, paths that contradict each other.

use shared::offsets::Field;
use shared::offsets::Status;

use super::assert_nothing_wrong;
use super::check;
use super::finding;
use super::world::World;
use crate::fields::Place;
use crate::fields::Struct;
use crate::solve::search::Search;

#[test]
fn a_copy_makes_a_field_ambiguous_and_no_other() {
    for field in [Field::NfConnMark, Field::SockDaddr, Field::Flowi6Sport] {
        let mut world = World::usual(2);
        world.copy(field.into());
        check(world, &[(field, Status::Ambiguous)]);
    }
}

#[test]
fn two_pointers_to_one_connection_prove_nothing() {
    let mut world = World::usual(12);
    world.fields = Field::CONNTRACK;
    world.copies.push((Field::SkBuffNfct.into(), 240));
    let findings = world.solve().solver.findings();
    assert_nothing_wrong(&world, &findings);
    let nfct = finding(&findings, Field::SkBuffNfct);
    assert_eq!(nfct.status, Status::Ambiguous);
    assert_eq!(nfct.candidates, [104, 240]);
    assert!(findings.iter().all(|one| one.status != Status::Proven));
}

#[test]
fn a_pointer_that_behaves_alike_but_leads_elsewhere_is_dropped() {
    let mut world = World::usual(13);
    world.meddle = |kind, bytes, _| {
        if kind == Struct::SkBuff {
            // One address for each connection, like the true pointer, but no connection is there.
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[104..112]);
            let elsewhere = u64::from_ne_bytes(word) + 0x4000_0000;
            let is_tracked = u64::from_ne_bytes(word) != 0;
            bytes[48..56].fill(0);
            if is_tracked {
                bytes[48..56].copy_from_slice(&elsewhere.to_ne_bytes());
            }
        }
    };
    let solver = world.solve().solver;
    let findings = solver.findings();
    assert_nothing_wrong(&world, &findings);
    assert!(findings.iter().all(|one| one.status == Status::Proven));
    let leads_elsewhere = |search: &Search| {
        let nfct = Place::Field(Field::SkBuffNfct);
        let mut steps = search.path.steps.iter();
        steps.any(|step| step.pointer == nfct && step.offset == 48)
    };
    assert!(!solver.searches().iter().any(leads_elsewhere));
}

#[test]
fn a_stale_pointer_is_recognised_by_its_tag() {
    let mut world = World::usual(14);
    world.meddle = |kind, bytes, _| {
        if kind == Struct::SkBuff && bytes[104..112] != [0; 8] {
            // As in the freed packet behind this one: the connection of the packet before.
            bytes.copy_within(104..112, 360);
            bytes[360] ^= 1;
        }
    };
    check(world, &[]);
}

#[test]
fn paths_that_contradict_each_other_prove_nothing() {
    let mut world = World::usual(15);
    // Namespaces that are reached from sockets hold their number elsewhere than those of connections.
    world.split_net = Some(400);
    let solver = world.solve().solver;
    let findings = solver.findings();
    let inum = finding(&findings, Field::NetNsInum);
    assert_eq!(inum.status, Status::Ambiguous, "{:?}", inum.reason);
    assert_eq!(
        inum.reason.as_deref(),
        Some("the paths that lead to it contradict each other")
    );
    assert!(inum.candidates.is_empty());
}
