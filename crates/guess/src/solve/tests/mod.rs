//! The solver on test kernels made of bytes. It finds any layout, and what could mislead it ends in a
//! refusal, never in a wrong offset.

mod lacks;
mod layout;
mod memory;
mod misled;
mod properties;
mod round;
mod routes;
mod scene;
mod socks;
mod world;

use shared::offsets::Field;
use shared::offsets::Status;

use super::evidence::ENOUGH_BITS;
use super::verdict::Finding;
use crate::verify::Verification;
use world::World;

fn finding(findings: &[Finding], field: Field) -> &Finding {
    findings.iter().find(|one| one.field == field).unwrap()
}

/// Everything that is proven must be right.
fn assert_nothing_wrong(world: &World, findings: &[Finding]) {
    for one in findings {
        if let Some(offset) = one.offset() {
            let place = one.field.into();
            assert_eq!(
                Some(&offset),
                world.layout.places.get(&place),
                "{}",
                one.field
            );
            assert!(one.evidence_bits.unwrap() >= ENOUGH_BITS);
        } else {
            assert!(one.reason.is_some(), "{} without a reason", one.field);
        }
    }
}

/// Solves a world and checks that these fields have this status, that all others are proven, and that fresh
/// experiments confirm what is proven.
fn check(mut world: World, unproven: &[(Field, Status)]) -> Vec<Finding> {
    let search = world.solve();
    let findings = search.solver.findings();
    assert_nothing_wrong(&world, &findings);
    for one in &findings {
        let status = unproven
            .iter()
            .find(|(field, _)| *field == one.field)
            .map_or(Status::Proven, |(_, status)| *status);
        assert_eq!(
            one.status, status,
            "{}: {:?}, {:?}",
            one.field, one.reason, one.candidates
        );
    }
    for one in &findings {
        assert_eq!(search.solver.proven(one.field.into()), one.offset());
    }
    let mut verification = Verification::new(&search.solver.all_proven(), &world.marks()).unwrap();
    world.round(&mut verification, 0);
    assert!(
        verification.contradicted().is_empty(),
        "{:?}",
        verification.contradicted()
    );
    findings
}

#[test]
fn the_usual_layout_is_found() {
    for fields in [Field::ALL, Field::CONNTRACK, Field::SOCKET] {
        let mut world = World::usual(1);
        world.fields = fields;
        check(world, &[]);
    }
}
