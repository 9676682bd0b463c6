//! Every case, and how the programs are loaded for it.

mod bare;
mod begin;
mod calls;
mod end;
mod faults;
mod full_ring;
mod full_table;
mod ids;
mod late;
mod nat;
mod nat_only;
mod rebirth;
mod sweep;
mod timeless;

use anyhow::Context as _;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;

use crate::bpf::constants::Setup;
use crate::case::Case;
use crate::case::SMALL;
use crate::fake::Offsets;

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
        late::CASES,
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
