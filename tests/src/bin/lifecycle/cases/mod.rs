//! Every case, and how the programs are loaded for it.

mod bare;
mod begin;
mod calls;
mod end;
mod faults;
mod full_ring;
mod full_table;
mod ids;
mod nat;
mod nat_only;
mod rebirth;
mod sweep;
mod timeless;

use anyhow::Context as _;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;

use crate::bench::Bench;
use crate::bpf::Setup;
use crate::fake::Offsets;

/// One situation and what must come of it.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&mut Bench) -> anyhow::Result<()>,
}

/// The cases of a file: its functions.
macro_rules! cases {
    ($($name:ident)*) => {
        pub const CASES: &[crate::cases::Case] = &[$(crate::cases::Case {
            name: stringify!($name),
            run: $name,
        }),*];
    };
}
use cases;

/// Entries of the table that is small.
pub const SMALL: u32 = 4;

/// The cases by setup.
pub fn all() -> anyhow::Result<Vec<(Setup, Vec<&'static Case>)>> {
    let page = sysconf(SysconfVar::PAGE_SIZE)?.context("the kernel has pages")?;
    let usual = Setup {
        offsets: Offsets::USUAL,
        nat_only: false,
        max_entries: 64,
        ring_bytes: u32::try_from(page)?,
        timed: 0,
    };
    let with = |offsets| Setup { offsets, ..usual };
    // These must hold wherever the fields are.
    let anywhere = [
        begin::CASES,
        nat::CASES,
        rebirth::CASES,
        end::CASES,
        sweep::CASES,
        full_ring::CASES,
        faults::CASES,
        calls::CASES,
        ids::CASES,
    ];
    let of = |files: &[&'static [Case]]| files.iter().copied().flatten().collect::<Vec<_>>();
    let translated = Setup {
        nat_only: true,
        ..usual
    };
    let small = Setup {
        max_entries: SMALL,
        ..usual
    };
    Ok(vec![
        (usual, of(&anywhere)),
        (with(Offsets::ODD), of(&anywhere)),
        (with(Offsets::BARE), of(&[bare::CASES])),
        (with(Offsets::TIMELESS), of(&[timeless::CASES])),
        (translated, of(&[nat_only::CASES])),
        (small, of(&[full_table::CASES])),
    ])
}
