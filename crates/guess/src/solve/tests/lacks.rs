//! Fields that a kernel lacks, that cannot be read or that take too few values are missing or ambiguous, and
//! the rest is proven.

use shared::offsets::Field;
use shared::offsets::Status;

use super::assert_nothing_wrong;
use super::check;
use super::finding;
use super::world::World;
use crate::expected::connection::Abilities;
use crate::fields::Struct;
use crate::solve::evidence::ENOUGH_BITS;

#[test]
fn what_the_kernel_lacks_is_missing_and_the_rest_is_found() {
    for field in [Field::NfConnZone, Field::NfConnMark, Field::NfConnTimeout] {
        let world = World::usual(3).without(field);
        check(world, &[(field, Status::Missing)]);
    }
}

#[test]
fn without_ipv6_its_fields_are_missing() {
    let missing = [
        Field::SockV6Daddr,
        Field::SockV6RcvSaddr,
        Field::Flowi6Saddr,
        Field::Flowi6Daddr,
        Field::Flowi6Sport,
        Field::Flowi6Dport,
    ];
    let mut world = World::usual(4)
        .without(Field::SockV6Daddr)
        .without(Field::SockV6RcvSaddr);
    world.has_inet6 = false;
    // Every socket has the same family, which many other places hold, too.
    let family = (Field::SockFamily, Status::Ambiguous);
    let mut unproven = missing.map(|field| (field, Status::Missing)).to_vec();
    unproven.push(family);
    check(world, &unproven);

    // IPv6 is switched off but built in: connections mirror their addresses all the same.
    let mut world = World::usual(4);
    world.has_inet6 = false;
    unproven.drain(..2);
    check(world, &unproven);
}

#[test]
fn without_namespaces_nothing_of_them_is_found() {
    let missing = [Field::NfConnCtNet, Field::SockNet, Field::NetNsInum];
    let mut world = World::usual(5);
    world.has_netns = false;
    for field in missing {
        world = world.without(field);
    }
    check(world, &missing.map(|field| (field, Status::Missing)));
}

#[test]
fn without_a_number_the_namespace_is_not_proven_either() {
    let world = World::usual(6).without(Field::NetNsInum);
    let missing = [Field::NfConnCtNet, Field::SockNet, Field::NetNsInum];
    check(world, &missing.map(|field| (field, Status::Missing)));
}

#[test]
fn what_was_not_determined_is_missing() {
    let mut world = World::usual(7);
    world.can = Abilities {
        zone: false,
        mark: false,
        nat: None,
    };
    world.can_time = false;
    let missing = [
        Field::NfConnZone,
        Field::NfConnMark,
        Field::NfConnStatus,
        Field::NfConnTimeout,
    ];
    check(world, &missing.map(|field| (field, Status::Missing)));
}

#[test]
fn a_status_without_nat_takes_too_few_values() {
    let mut world = World::usual(8);
    world.can.nat = Some(false);
    let findings = check(world, &[(Field::NfConnStatus, Status::Ambiguous)]);
    let status = finding(&findings, Field::NfConnStatus);
    assert!(status.evidence_bits.unwrap() < ENOUGH_BITS);
}

#[test]
fn times_that_repeat_prove_nothing_new() {
    let mut world = World::usual(9);
    world.round_trip_us = |random| {
        let one_of_four = random.u32(0..4);
        (40 + 8 * one_of_four, 10 + 4 * one_of_four)
    };
    let times = [Field::TcpSockSrttUs, Field::TcpSockMdevUs];
    let findings = check(world, &times.map(|field| (field, Status::Ambiguous)));
    for field in times {
        let one = finding(&findings, field);
        assert_eq!(one.candidates.len(), 1, "{field}");
        assert!(one.evidence_bits.unwrap() < ENOUGH_BITS, "{field}");
    }
}

#[test]
fn a_family_that_never_changes_proves_nothing() {
    let mut world = World::usual(16).without(Field::SockFamily);
    world.has_inet6 = false;
    world.meddle = |kind, bytes, _| {
        if kind == Struct::Sock {
            // One place holds the family of each socket, because it always holds this number.
            let two = 2_u16.to_ne_bytes();
            for at in (0..bytes.len()).step_by(2).filter(|at| *at != 600) {
                if bytes[at..at + 2] == two {
                    bytes[at..at + 2].fill(0);
                }
            }
            bytes[600..602].copy_from_slice(&two);
        }
    };
    let findings = world.solve().solver.findings();
    assert_nothing_wrong(&world, &findings);
}

#[test]
fn nothing_is_found_behind_a_gap() {
    let mut world = World::usual(10);
    // The second piece faults, and the mark is in it.
    world.readable = |kind| match kind {
        Struct::NfConn => 256,
        other => other.window_bytes(),
    };
    world.layout.places.insert(Field::NfConnMark.into(), 300);
    check(world, &[(Field::NfConnMark, Status::Missing)]);
}

#[test]
fn a_struct_that_cannot_be_read_proves_nothing() {
    let mut world = World::usual(11);
    world.fields = Field::CONNTRACK;
    world.readable = |kind| match kind {
        Struct::NfConn => 0,
        other => other.window_bytes(),
    };
    let missing: Vec<_> = Field::CONNTRACK
        .iter()
        .map(|field| (*field, Status::Missing))
        .collect();
    check(world, &missing);
}
