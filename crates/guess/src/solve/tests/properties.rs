//! Properties of the solver in random layouts.

use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::select;
use proptest::test_runner::Config;
use shared::offsets::Field;
use shared::offsets::Status;

use super::assert_nothing_wrong;
use super::check;
use super::finding;
use super::world::World;
use crate::fields::Place;
use crate::fields::SPECS;

/// What misleads the search for such a place also misleads the searches behind its pointer.
fn proves_a_pointer(place: Place) -> bool {
    SPECS.iter().any(|spec| spec.proof().contains(&place))
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(12) })]

    #[test]
    fn any_layout_is_found(seed in any::<u64>()) {
        check(World::randomised(seed), &[]);
    }

    #[test]
    fn a_randomised_struct_net_is_found(seed in any::<u64>()) {
        let mut world = World::usual(seed);
        let net = World::randomised(seed).layout.places[&Field::NetNsInum.into()];
        world.layout.places.insert(Field::NetNsInum.into(), net);
        check(world, &[]);
    }

    #[test]
    fn any_clock_is_determined(seed in any::<u64>(), hz in 100_u32..=1000, jiffies in any::<u32>()) {
        let mut world = World::randomised(seed);
        (world.fields, world.hz, world.jiffies) = (Field::CONNTRACK, hz, jiffies);
        check(world, &[]);
    }

    #[test]
    fn noise_in_any_struct_leads_to_nothing_wrong(seed in any::<u64>()) {
        let mut world = World::randomised(seed);
        // A copy that survives its original cannot be recognised as a copy.
        world.layout.extras.retain(|extra, _| extra.is_mark());
        // Every second struct is half overwritten, so no sample of it is right.
        world.meddle = |_, bytes, _| {
            if bytes[0] & 1 == 0 {
                let half = bytes.len() / 2;
                bytes[half..].fill(0xa5);
            }
        };
        let findings = world.solve().solver.findings();
        assert_nothing_wrong(&world, &findings);
    }

    #[test]
    fn neither_a_field_nor_its_inseparable_copy_is_chosen(
        seed in any::<u64>(),
        field in select(Field::ALL),
    ) {
        let mut world = World::randomised(seed);
        let place = field.into();
        let copy = world.copy(place);
        let solver = world.solve().solver;
        let findings = solver.findings();
        assert_nothing_wrong(&world, &findings);
        let finding = finding(&findings, field);
        assert_ne!(finding.status, Status::Proven);
        if finding.status == Status::Ambiguous {
            let mut both = [world.layout.places[&place], copy];
            both.sort_unstable();
            assert_eq!(finding.candidates, both);
        } else {
            assert!(proves_a_pointer(place), "{field}: {:?}", finding.reason);
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_not_found_elsewhere(
        seed in any::<u64>(),
        field in select(Field::ALL),
    ) {
        let mut world = World::randomised(seed).without(field);
        let findings = world.solve().solver.findings();
        assert_nothing_wrong(&world, &findings);
        assert_ne!(finding(&findings, field).status, Status::Proven);
    }
}
