//! Loads the BPF programs of one mechanism and attaches them, as the table of hooks says.

use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use libbpf_rs::Link;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapHandle;
use libbpf_rs::ProgramInput;
use libbpf_rs::ProgramMut;
use libbpf_rs::ProgramType;
use libbpf_rs::libbpf_sys::BPF_FUNC_for_each_map_elem;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::Skel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::record::wire::Loss;
use shared::ring::layout::Source;

use super::attached::Attached;
use super::events::Events;
use super::hiding::Hiding;
use super::hooks;
use super::hooks::Hook;
use super::hooks::Role;
use super::program_fd;
use super::skel::ConntrackSkel;
use super::skel::ConntrackSkelBuilder;
use super::skel::types;
use super::table::FlowTable;
use super::table::Present;
use crate::layout::Layout;

/// What is set in the programs and maps before they are loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Where the kernel keeps things.
    pub layout: Layout,
    /// Leave out connections without NAT.
    pub nat_only: bool,
    /// Entries of each family's table.
    pub max_entries: u32,
    /// Bytes of the BPF ring buffer: a power of two of pages.
    pub ringbuf_bytes: u32,
    /// Makes ids unique among those of user space, and unpredictable.
    pub id_factor: u64,
    /// One more than the highest number of a processor.
    pub possible_cpus: u32,
    /// Hides kernel addresses in the pinned maps.
    pub hiding: Hiding,
}

/// Loaded programs. Dropping them detaches and unloads everything that is not pinned.
pub struct Programs {
    skel: ConntrackSkel<'static>,
    mechanism: Source,
    attached: Vec<Attached>,
    /// Probes that were missed before the hooks counted.
    missed_before: u64,
    /// Probes that the kernel skipped, as counted when the hooks were detached.
    skipped_at_end: u64,
    /// Does this kernel let a program walk a map?
    can_walk: bool,
}

impl Programs {
    /// Loads the programs of a mechanism and attaches none of them yet. A mechanism without hooks
    /// gets the maps alone.
    ///
    /// # Errors
    /// If the kernel refuses a map or a program.
    pub fn load(mechanism: Source, settings: &Settings) -> anyhow::Result<Self> {
        // The skeleton borrows the place of the object, a pointer, for its whole life. Leaking one
        // for each attempt spares callers an array that has to be as long as the ladder.
        let object = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = ConntrackSkelBuilder::default()
            .open(object)
            .context("open the BPF object")?;
        for flows in [&mut open.maps.flows4, &mut open.maps.flows6] {
            flows.set_max_entries(settings.max_entries)?;
        }
        open.maps.events.set_max_entries(settings.ringbuf_bytes)?;

        let chosen: Vec<&str> = hooks::of(mechanism).flat_map(Hook::programs).collect();
        // Walking a map came with 5.13.
        let can_walk = !chosen.is_empty()
            && ProgramType::RawTracepoint
                .is_helper_supported(BPF_FUNC_for_each_map_elem)
                .unwrap_or(false);
        let rodata = open.maps.rodata_data.as_deref_mut();
        let rodata = rodata.context("the BPF object has no read-only data")?;
        set(rodata, *settings);
        for mut program in open.open_object_mut().progs_mut() {
            let is_chosen = chosen.iter().any(|name| program.name() == *name);
            program.set_autoload(is_chosen);
        }
        open.progs.sweep.set_autoload(can_walk);
        open.progs.check_one.set_autoload(!chosen.is_empty());
        open.progs.end_gone.set_autoload(!chosen.is_empty());
        Ok(Self {
            skel: open.load().context("load the BPF programs")?,
            mechanism,
            attached: Vec::new(),
            missed_before: 0,
            skipped_at_end: 0,
            can_walk,
        })
    }

    /// Attaches for each role the first hook that this kernel has.
    ///
    /// # Errors
    /// If the kernel has no hook of a role without which the source is useless.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        for role in Role::ALL {
            let mut refusal = None;
            let mut places = hooks::of(self.mechanism)
                .filter(|hook| hook.role == role)
                .flat_map(|hook| hook.symbols.iter().map(move |symbol| (hook, symbol)));
            let attached = places.find_map(|(hook, symbol)| {
                let links = self.attach_to(hook, symbol);
                let links = links.map_err(|error| refusal = Some(error)).ok()?;
                Some(Attached {
                    hook,
                    symbol,
                    links,
                })
            });
            match (attached, refusal) {
                (Some(attached), _) => self.attached.push(attached),
                (None, Some(error)) if role == Role::Begin => return Err(error),
                (None, Some(error)) => log::info!("{}: {error:#}", role.without()),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn attach_to(&self, hook: &Hook, symbol: &str) -> anyhow::Result<Vec<Link>> {
        hook.programs()
            .map(|name| {
                let program = self.program(name)?;
                let link = match hook.mechanism {
                    Source::Tracepoint => program.attach_raw_tracepoint(symbol),
                    Source::Kprobe => program.attach_kprobe(hook.at_return == Some(name), symbol),
                    // The object names the function; libbpf found it in BTF.
                    Source::Fentry => program.attach_trace(),
                    Source::Netlink => anyhow::bail!("{hook:?} cannot be attached"),
                };
                link.with_context(|| format!("attach {} {symbol}", hook.mechanism.name()))
            })
            .collect()
    }

    fn program(&self, name: &str) -> anyhow::Result<ProgramMut<'_>> {
        let mut programs = self.skel.object().progs_mut();
        programs
            .find(|program| program.name() == name)
            .with_context(|| format!("the BPF object has no program {name}"))
    }

    /// Where a hook of this role is attached, if one is.
    pub fn symbol(&self, role: Role) -> Option<&'static str> {
        let mut attached = self.attached.iter();
        attached
            .find(|attached| attached.hook.role == role)
            .map(|attached| attached.symbol)
    }

    /// Detaches the hook of this role: it does not do what it should.
    pub fn detach_role(&mut self, role: Role) {
        self.attached.retain(|attached| attached.hook.role != role);
    }

    /// Detaches the programs; what they have reported can still be read.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        self.skipped_at_end += self.skipped()?;
        self.attached.clear();
        Ok(())
    }

    /// Connections of a dump may have found no room: the programs must not count them again.
    ///
    /// # Errors
    /// If the programs' data are not mapped.
    pub fn set_load_overflowed(&mut self, has_overflowed: bool) -> anyhow::Result<()> {
        let bss = self.skel.maps.bss_data.as_deref_mut();
        bss.context("the BPF object has no data")?.load_overflowed = has_overflowed.into();
        Ok(())
    }

    /// From now on a missed probe is a loss: calls that were under way when the hooks were attached
    /// are over.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn start_counting_missed(&mut self) -> anyhow::Result<()> {
        self.missed_before = 0;
        self.missed_before = self.missed()?;
        Ok(())
    }

    /// How often the kernel skipped a program, or the program itself noticed that its other half was
    /// skipped. Both see the same misses, where the kernel counts them.
    fn missed(&self) -> anyhow::Result<u64> {
        let by_kernel = self.skipped_at_end + self.skipped()?;
        let missed = by_kernel.max(self.counted(Loss::ProbeMissed)?);
        Ok(missed.saturating_sub(self.missed_before))
    }

    /// How often the kernel skipped the programs that are attached. Also those of ends: the sweep finds the
    /// end, but not that another connection has begun since.
    fn skipped(&self) -> anyhow::Result<u64> {
        let mut skipped = 0;
        for attached in &self.attached {
            for name in attached.hook.programs() {
                skipped += program_fd::skipped(self.program(name)?.as_fd())
                    .context("read how often a program was skipped")?;
            }
            skipped += attached.skipped_probes();
        }
        Ok(skipped)
    }

    /// The NAT table.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn table(&self) -> anyhow::Result<FlowTable> {
        let maps = &self.skel.maps;
        let [v4, v6] = [&maps.flows4, &maps.flows6].map(MapHandle::try_from);
        let programs = &self.skel.progs;
        let descriptor = |program: &ProgramMut<'_>| {
            let loaded = program.autoload();
            loaded.then(|| program.as_fd().try_clone_to_owned())
        };
        let check = descriptor(&programs.check_one);
        let end_gone = descriptor(&programs.end_gone);
        Ok(FlowTable {
            maps: [v4?, v6?],
            check: check.transpose()?,
            end_gone: end_gone.transpose()?,
            overflow: Some(MapHandle::try_from(&maps.overflow)?),
        })
    }

    /// The events.
    ///
    /// # Errors
    /// If the ring buffer cannot be mapped.
    pub fn events(&self) -> anyhow::Result<Events> {
        Events::open(&self.skel.maps.events, &self.skel.maps.bss)
    }

    /// Events that the programs have lost so far at one place, over all CPUs.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn lost(&self, place: Loss) -> anyhow::Result<u64> {
        match place {
            Loss::ProbeMissed => self.missed(),
            place => self.counted(place),
        }
    }

    fn counted(&self, place: Loss) -> anyhow::Result<u64> {
        let key = u32::from(place as u8).to_ne_bytes();
        let per_cpu = self.skel.maps.losses.lookup_percpu(&key, MapFlags::ANY);
        let per_cpu = per_cpu.context("read the loss counters")?;
        Ok(per_cpu
            .unwrap_or_default()
            .iter()
            .filter_map(|bytes| bytes.first_chunk())
            .map(|bytes| u64::from_ne_bytes(*bytes))
            .sum())
    }

    /// Walks the table once and reports the connections that have ended. Returns `true` if the
    /// ring buffer was full: drain it and sweep again.
    ///
    /// # Errors
    /// If the kernel refuses to run the program.
    pub fn sweep(&mut self) -> anyhow::Result<bool> {
        if !self.can_walk {
            return self.sweep_by_key();
        }
        let sweep = &self.skel.progs.sweep;
        sweep
            .test_run(ProgramInput::default())
            .context("run the sweep")?;
        let bss = self.skel.maps.bss_data.as_deref();
        let found = bss.context("the BPF object has no data")?.sweep_result;
        log::trace!("sweep: kept {:?}, ended {}", found.kept, found.ended);
        Ok(found.stuck != 0)
    }

    /// The same on a kernel whose programs cannot walk a map: entry by entry.
    fn sweep_by_key(&self) -> anyhow::Result<bool> {
        let table = self.table()?;
        for is_v6 in [false, true] {
            for (key, _) in table.entries(is_v6)? {
                if table.check(&key)? == Present::Stuck {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Sets the programs' constants. A setting that is added and not passed on does not compile.
fn set(rodata: &mut types::rodata, settings: Settings) {
    let at_timeout;
    Settings {
        layout: Layout {
            skb_nfct: rodata.off_skb_nfct,
            window_start: rodata.window_start,
            window_bytes: rodata.window_bytes,
            at_orig: rodata.at_orig,
            at_reply: rodata.at_reply,
            at_status: rodata.at_status,
            at_ct_net: rodata.at_ct_net,
            at_mark: rodata.at_mark,
            at_zone: rodata.at_zone,
            at_timeout,
            net_inum: rodata.off_net_inum,
            ct_status: rodata.off_ct_status,
            known: rodata.layout_known,
        },
        nat_only: rodata.nat_only,
        max_entries: _,
        ringbuf_bytes: _,
        id_factor: rodata.id_factor,
        possible_cpus: rodata.possible_cpus,
        hiding: Hiding {
            mask: rodata.hide_mask,
            factor: rodata.hide_factor,
            inverse: rodata.hide_inverse,
        },
    } = settings;
    rodata.has_timeout = at_timeout.is_some();
    rodata.at_timeout = at_timeout.unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_of_hooks_names_every_program_of_the_object_and_no_other() {
        let mut object = MaybeUninit::uninit();
        let open = ConntrackSkelBuilder::default().open(&mut object).unwrap();
        let programs = open.open_object().progs();
        let found: BTreeSet<String> = programs
            .map(|program| program.name().to_string_lossy().into_owned())
            .collect();
        // User space runs these itself.
        let named =
            hooks::HOOKS
                .iter()
                .flat_map(Hook::programs)
                .chain(["sweep", "check_one", "end_gone"]);
        assert_eq!(found, named.map(str::to_owned).collect());
    }

    #[test]
    fn each_mechanism_that_has_hooks_has_one_for_beginnings() {
        for hook in hooks::HOOKS {
            let mut alternatives = hooks::of(hook.mechanism);
            assert!(
                alternatives.any(|hook| hook.role == Role::Begin),
                "{hook:?}"
            );
        }
    }
}
