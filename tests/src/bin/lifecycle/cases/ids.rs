//! Ids of connections, and hidden addresses.

use std::collections::HashSet;
use std::fs;

use anyhow::Context as _;
use anyhow::ensure;

use crate::bench::Bench;
use crate::bench::same;
use crate::bpf::BPF_LANES;
use crate::bpf::secrets::hidden;
use crate::case::cases;

cases! {
    no_id_comes_twice_on_any_cpu_in_any_lane
    what_is_hidden_is_revealed_and_nothing_else
}

/// Ids to draw at least.
const DRAWS: usize = 100_000;

fn no_id_comes_twice_on_any_cpu_in_any_lane(bench: &mut Bench) -> anyhow::Result<()> {
    let cpus = online_cpus()?;
    let mut seen = HashSet::new();
    let mut drawn = 0;
    while drawn < DRAWS {
        for &cpu in &cpus {
            for lane in 0..BPF_LANES {
                bench.object.call_on(cpu, "run_draw_id", [lane, 0])?;
                for id in bench.object.data().outcomes {
                    ensure!(id != 0 && id < 1 << 53, "{id} is no id");
                    ensure!(
                        seen.insert(id),
                        "{id} came twice, on CPU {cpu} in lane {lane}"
                    );
                    drawn += 1;
                }
            }
        }
    }
    Ok(())
}

fn online_cpus() -> anyhow::Result<Vec<u32>> {
    let list =
        fs::read_to_string("/sys/devices/system/cpu/online").context("read the list of CPUs")?;
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<u32>()?..=last.parse()?);
    }
    ensure!(!cpus.is_empty(), "no CPU is online");
    Ok(cpus)
}

fn what_is_hidden_is_revealed_and_nothing_else(bench: &mut Bench) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    let slots = (0..64).map(|slot| bench.address(slot));
    let addresses: Vec<u64> = slots.chain([8, !7, 1 << 63]).collect();
    for address in addresses {
        bench.object.call("run_hide", [address, 0])?;
        let word = bench.object.data().outcome;
        same("hidden", word, hidden(address))?;
        ensure!(word != address && seen.insert(word), "{word:#x}");
        bench.object.call("run_reveal", [word, 0])?;
        same("revealed", bench.object.data().outcome, address)?;
    }
    Ok(())
}
