//! The solver on kernels made of bytes: any layout is found, and whatever could mislead it ends in
//! a refusal, never in a wrong offset.

mod world;

use proptest::prelude::any;
use proptest::proptest;
use shared::offsets::Field;
use shared::offsets::Status;

use super::evidence::ENOUGH_BITS;
use super::sample::Expected;
use super::track::Track;
use super::verdict::Finding;
use crate::expected::Abilities;
use crate::fields::Struct;
use world::World;

fn finding(findings: &[Finding], field: Field) -> &Finding {
    findings.iter().find(|one| one.field == field).unwrap()
}

/// Whatever is proven must be right.
fn assert_nothing_wrong(world: &World, findings: &[Finding]) {
    for one in findings {
        if let Some(offset) = one.offset() {
            assert_eq!(Some(&offset), world.layout.get(&one.field), "{}", one.field);
            assert!(one.evidence_bits.unwrap() >= ENOUGH_BITS);
        } else {
            assert!(one.reason.is_some(), "{} without a reason", one.field);
        }
    }
}

/// Solves a world and checks that all fields but these are proven, and that these have this status.
fn check(mut world: World, unproven: &[(Field, Status)]) -> Vec<Finding> {
    let findings = world.solve().findings();
    assert_nothing_wrong(&world, &findings);
    for one in &findings {
        let status = unproven
            .iter()
            .find(|(field, _)| *field == one.field)
            .map_or(Status::Proven, |(_, status)| *status);
        assert_eq!(one.status, status, "{}: {:?}", one.field, one.reason);
    }
    findings
}

fn bytes_of(expected: &[(Field, Expected)], field: Field) -> Vec<u8> {
    match expected.iter().find(|(known, _)| *known == field) {
        Some((_, Expected::Bytes { bytes, .. })) => bytes.clone(),
        _ => panic!("{field} has no bytes"),
    }
}

#[test]
fn the_usual_layout_is_found() {
    check(World::usual(1), &[]);
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    #[test]
    fn any_layout_is_found(seed in any::<u64>()) {
        check(World::randomised(seed), &[]);
    }

    #[test]
    fn noise_in_any_struct_leads_to_nothing_wrong(seed in any::<u64>()) {
        let mut world = World::randomised(seed);
        // Every second struct is half overwritten: no sample of it is true.
        world.meddle = |_, bytes, _| {
            if bytes[0] & 1 == 0 {
                let half = bytes.len() / 2;
                bytes[half..].fill(0xa5);
            }
        };
        let findings = world.solve().findings();
        assert_nothing_wrong(&world, &findings);
    }
}

#[test]
fn a_copy_makes_a_field_ambiguous_and_no_other() {
    let mut world = World::usual(2);
    world.meddle = |kind, bytes, expected| {
        if kind == Struct::NfConn {
            bytes[400..404].copy_from_slice(&bytes_of(expected, Field::NfConnMark));
        }
    };
    let findings = check(world, &[(Field::NfConnMark, Status::Ambiguous)]);
    let mark = finding(&findings, Field::NfConnMark);
    assert_eq!(mark.candidates, [168, 400]);
}

#[test]
fn what_the_kernel_lacks_is_missing_and_the_rest_is_found() {
    let mut world = World::usual(3);
    world.layout.remove(&Field::NfConnZone);
    check(world, &[(Field::NfConnZone, Status::Missing)]);
}

#[test]
fn without_a_number_the_namespace_is_not_proven_either() {
    let mut world = World::usual(4);
    world.layout.remove(&Field::NetNsInum);
    check(
        world,
        &[
            (Field::NfConnCtNet, Status::Missing),
            (Field::NetNsInum, Status::Missing),
        ],
    );
}

#[test]
fn what_was_not_determined_is_missing() {
    let mut world = World::usual(5);
    world.can = Abilities {
        zone: false,
        mark: false,
        nat: None,
    };
    let missing = [Field::NfConnZone, Field::NfConnMark, Field::NfConnStatus];
    check(world, &missing.map(|field| (field, Status::Missing)));
}

#[test]
fn a_status_without_nat_takes_too_few_values() {
    let mut world = World::usual(6);
    world.can.nat = Some(false);
    let findings = check(world, &[(Field::NfConnStatus, Status::Ambiguous)]);
    let status = finding(&findings, Field::NfConnStatus);
    assert!(status.evidence_bits.unwrap() < ENOUGH_BITS);
}

#[test]
fn nothing_is_found_behind_a_gap() {
    let mut world = World::usual(7);
    // The second piece faults, and with it the only place of the mark.
    world.readable = |kind| match kind {
        Struct::NfConn => 256,
        other => other.window_bytes(),
    };
    world.layout.insert(Field::NfConnMark, 300);
    check(world, &[(Field::NfConnMark, Status::Missing)]);
}

#[test]
fn a_struct_that_cannot_be_read_proves_nothing() {
    let mut world = World::usual(7);
    world.readable = |kind| match kind {
        Struct::NfConn => 0,
        other => other.window_bytes(),
    };
    let findings = world.solve().findings();
    assert_nothing_wrong(&world, &findings);
    assert!(findings.iter().all(|one| one.status == Status::Missing));
}

#[test]
fn two_pointers_to_one_connection_prove_nothing() {
    let mut world = World::usual(8);
    world.meddle = |kind, bytes, _| {
        if kind == Struct::SkBuff {
            bytes.copy_within(104..112, 240);
        }
    };
    let findings = world.solve().findings();
    assert_nothing_wrong(&world, &findings);
    let nfct = finding(&findings, Field::SkBuffNfct);
    assert_eq!(nfct.status, Status::Ambiguous);
    assert_eq!(nfct.candidates, [104, 240]);
    assert!(findings.iter().all(|one| one.status != Status::Proven));
}

#[test]
fn a_pointer_that_behaves_alike_but_leads_elsewhere_is_given_up() {
    let mut world = World::usual(9);
    world.meddle = |kind, bytes, _| {
        if kind == Struct::SkBuff {
            // One address for each connection, as the true one, but of no connection.
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[104..112]);
            let elsewhere = u64::from_ne_bytes(word) + 0x4000_0000;
            bytes[48..56].copy_from_slice(&elsewhere.to_ne_bytes());
        }
    };
    let solver = world.solve();
    let findings = solver.findings();
    assert_nothing_wrong(&world, &findings);
    assert!(solver.is_settled());
    assert!(findings.iter().all(|one| one.status == Status::Proven));
    let leads_elsewhere = |track: &Track| track.way.0.first().is_some_and(|step| step.offset == 48);
    assert!(!solver.tracks().iter().any(leads_elsewhere));
}

#[test]
fn a_stale_pointer_is_told_by_its_tag() {
    let mut world = World::usual(10);
    world.meddle = |kind, bytes, _| {
        if kind == Struct::SkBuff {
            // As in the freed packet behind this one: the same connection, of the packet before.
            bytes.copy_within(104..112, 360);
            bytes[360] ^= 1;
        }
    };
    check(world, &[]);
}
