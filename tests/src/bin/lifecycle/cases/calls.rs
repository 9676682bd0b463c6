//! An argument is carried from a function's entry to its return, and missed probes are counted.

use shared::record::wire::Loss;
use shared::record::wire::kind;

use crate::bench::Bench;
use crate::bench::NEW;
use crate::bench::NF_ACCEPT;
use crate::bench::same;
use crate::case::cases;
use crate::fake::Conn;

cases! {
    a_return_gets_the_argument_of_its_entry
    nested_calls_return_in_turn
    a_return_whose_entry_was_skipped_is_counted_and_takes_nothing
    an_inner_return_whose_entry_was_skipped_leaves_the_outer_call
    entries_whose_returns_were_skipped_are_counted
    a_task_that_never_returns_is_counted_at_the_depth_that_cannot_be
    an_evicted_call_is_counted
    a_stack_pointer_may_differ_by_a_return_address_and_no_more
    a_confirmation_whose_entry_was_skipped_reports_nothing
}

fn enter(bench: &Bench, argument: u64, stack: u64) -> anyhow::Result<()> {
    bench.object.call("run_enter_call", [argument, stack])?;
    Ok(())
}

/// A return from a call that was entered with this stack pointer.
fn leaves_with(bench: &mut Bench, stack: u64, expected: u64) -> anyhow::Result<()> {
    bench.object.call("run_leave_call", [stack + 8, 0])?;
    same(
        &format!("argument at {stack:#x}"),
        bench.object.data().outcome,
        expected,
    )
}

fn a_return_gets_the_argument_of_its_entry(bench: &mut Bench) -> anyhow::Result<()> {
    for argument in 1..20 {
        enter(bench, argument, 0x8000)?;
        leaves_with(bench, 0x8000, argument)?;
    }
    Ok(())
}

fn nested_calls_return_in_turn(bench: &mut Bench) -> anyhow::Result<()> {
    // A task, a softirq and a hard interrupt on top of it; the stacks may be anywhere.
    let calls = [(1, 0x8000), (2, 0x4000), (3, 0xf000), (4, 0x1000)];
    for _ in 0..2 {
        for (argument, stack) in calls {
            enter(bench, argument, stack)?;
        }
        for (argument, stack) in calls.into_iter().rev() {
            leaves_with(bench, stack, argument)?;
        }
    }
    Ok(())
}

fn a_return_whose_entry_was_skipped_is_counted_and_takes_nothing(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    leaves_with(bench, 0x8000, 0)?;
    bench.lost(&[(Loss::ProbeMissed, 1)])?;
    enter(bench, 1, 0x8000)?;
    leaves_with(bench, 0x8000, 1)?;
    leaves_with(bench, 0x8000, 0)?;
    bench.lost(&[(Loss::ProbeMissed, 2)])
}

fn an_inner_return_whose_entry_was_skipped_leaves_the_outer_call(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    enter(bench, 1, 0x8000)?;
    leaves_with(bench, 0x4000, 0)?;
    leaves_with(bench, 0x8000, 1)?;
    bench.lost(&[(Loss::ProbeMissed, 1)])
}

fn entries_whose_returns_were_skipped_are_counted(bench: &mut Bench) -> anyhow::Result<()> {
    enter(bench, 1, 0x8000)?;
    enter(bench, 2, 0x4000)?;
    enter(bench, 3, 0x2000)?;
    leaves_with(bench, 0x8000, 1)?;
    bench.lost(&[(Loss::ProbeMissed, 2)])?;
    enter(bench, 4, 0x8000)?;
    leaves_with(bench, 0x8000, 4)?;
    // The same stack again: the later entry is the one that returns.
    enter(bench, 5, 0x8000)?;
    enter(bench, 6, 0x8000)?;
    leaves_with(bench, 0x8000, 6)?;
    bench.lost(&[(Loss::ProbeMissed, 2)])
}

fn a_task_that_never_returns_is_counted_at_the_depth_that_cannot_be(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    for argument in 1..=4 {
        enter(bench, argument, 0x8000 - argument * 0x100)?;
    }
    bench.lost(&[])?;
    enter(bench, 5, 0x8000)?;
    bench.lost(&[(Loss::ProbeMissed, 4)])?;
    leaves_with(bench, 0x8000, 5)?;
    bench.lost(&[(Loss::ProbeMissed, 4)])
}

fn an_evicted_call_is_counted(bench: &mut Bench) -> anyhow::Result<()> {
    enter(bench, 1, 0x8000)?;
    bench.object.evict_calls()?;
    leaves_with(bench, 0x8000, 0)?;
    bench.lost(&[(Loss::ProbeMissed, 1)])
}

fn a_stack_pointer_may_differ_by_a_return_address_and_no_more(
    bench: &mut Bench,
) -> anyhow::Result<()> {
    for (difference, argument) in [(0, 1), (8, 1), (32, 1), (33, 0)] {
        enter(bench, 1, 0x8000)?;
        bench
            .object
            .call("run_leave_call", [0x8000 + difference, 0])?;
        same(
            &format!("at {difference}"),
            bench.object.data().outcome,
            argument,
        )?;
    }
    bench.lost(&[(Loss::ProbeMissed, 1)])?;
    // Nor is it below.
    bench.object.evict_calls()?;
    enter(bench, 1, 0x8000)?;
    bench.object.call("run_leave_call", [0x8000 - 8, 0])?;
    same("below", bench.object.data().outcome, 0)?;
    bench.lost(&[(Loss::ProbeMissed, 2)])
}

fn a_confirmation_whose_entry_was_skipped_reports_nothing(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place(0, Conn::udp(1));
    let skb = bench.packet_of(bench.address(0) | NEW);
    bench.object.call("run_on_confirmed", [NF_ACCEPT, 0x8008])?;
    bench.object.call("run_on_inserted", [0, 0x8008])?;
    bench.records([])?;
    bench.lost(&[(Loss::ProbeMissed, 2)])?;
    bench.object.call("run_on_confirm", [skb, 0x8000])?;
    bench.object.call("run_on_confirmed", [NF_ACCEPT, 0x8008])?;
    bench.records([kind::NEW])?;
    bench.lost(&[(Loss::ProbeMissed, 2)])
}
