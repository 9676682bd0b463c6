//! The BPF object of the bench: conntrack's own programs, loaded so that user space runs them, and their maps.

pub mod constants;
pub mod entry;
mod requests;
pub mod secrets;
mod skel;

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::rc::Rc;

use anyhow::Context as _;
use anyhow::bail;
use libbpf_rs::ErrorKind;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::MapMut;
use libbpf_rs::PrintLevel;
use libbpf_rs::ProgramInput;
use libbpf_rs::ProgramType;
use libbpf_rs::RingBuffer;
use libbpf_rs::RingBufferBuilder;
use libbpf_rs::libbpf_sys::BPF_F_TEST_RUN_ON_CPU;
use libbpf_rs::libbpf_sys::BPF_FUNC_for_each_map_elem;
use libbpf_rs::set_print;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::skel::Skel as _;
use libbpf_rs::skel::SkelBuilder as _;
use shared::exit::Failure;
use shared::record::wire::Record;
use zerocopy::IntoBytes as _;

use constants::Setup;
use constants::set;
use entry::Entry;
use skel::LifecycleSkel;
use skel::LifecycleSkelBuilder;
use skel::types;

/// Bytes of a record that a program fills.
const EVENT_BYTES: usize = types::event_size::EVENT_BYTES.0 as usize;
pub const CHECKED_NONE: u32 = types::checked::CHECKED_NONE.0;
pub const CHECKED_ALIVE: u32 = types::checked::CHECKED_ALIVE.0;
pub const CHECKED_ENDED: u32 = types::checked::CHECKED_ENDED.0;
pub const CHECKED_UNKNOWN: u32 = types::checked::CHECKED_UNKNOWN.0;
pub const CHECKED_STUCK: u32 = types::checked::CHECKED_STUCK.0;
pub const UNANNOUNCED: u8 = types::flow_flag::FLOW_UNANNOUNCED.0 as u8;
pub const ENDED: u8 = types::flow_flag::FLOW_ENDED.0 as u8;
/// Lanes in which BPF programs draw ids.
pub const BPF_LANES: u64 = types::id_lane::LANE_USER.0 as u64;

/// What a program left in memory for user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub kept: [u32; 2],
    pub ended: u32,
    pub stuck: bool,
}

/// The loaded programs and their maps.
pub struct Object {
    skel: LifecycleSkel<'static>,
    ring: RingBuffer<'static>,
    taken: Rc<RefCell<Vec<Record>>>,
    /// Can a program walk a map here (5.13)?
    pub can_walk: bool,
}

impl Object {
    /// Loads what a setup needs.
    ///
    /// # Errors
    /// Exit 4 or 5 if the kernel refuses.
    pub fn load(setup: &Setup) -> anyhow::Result<Self> {
        set_print(Some((PrintLevel::Warn, |_, text| {
            text.lines().for_each(|line| log::debug!("libbpf: {line}"));
        })));
        // The skeleton borrows the object for its whole life, which is here the process's.
        let object = Box::leak(Box::new(MaybeUninit::uninit()));
        let mut open = LifecycleSkelBuilder::default()
            .open(object)
            .context("open the BPF object")?;
        for flows in [&mut open.maps.flows4, &mut open.maps.flows6] {
            flows.set_max_entries(setup.max_entries)?;
        }
        open.maps.events.set_max_entries(setup.ring_bytes)?;
        if setup.timed > 0 {
            let maps = &mut open.maps;
            for table in [
                &mut maps.objects,
                &mut maps.by_tuple,
                &mut maps.by_ct,
                &mut maps.ct_of_tuple,
                &mut maps.by_both,
            ] {
                table.set_max_entries(setup.timed)?;
            }
        }
        let can_walk = ProgramType::RawTracepoint
            .is_helper_supported(BPF_FUNC_for_each_map_elem)
            .unwrap_or(false);
        let cpus = u32::try_from(libbpf_rs::num_possible_cpus()?).context("number of CPUs")?;
        let rodata = open.maps.rodata_data.as_deref_mut();
        set(rodata.context("no read-only data")?, setup, cpus);
        for mut program in open.open_object_mut().progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            let is_timed =
                name.starts_with("time_") || name.ends_with("_objects") || name == "set_state";
            let is_ours = program.prog_type() == ProgramType::RawTracepoint;
            program.set_autoload(
                is_ours && (!is_timed || setup.timed > 0) && (name != "sweep" || can_walk),
            );
        }
        let skel = open
            .load()
            .map_err(|error| refused("load the programs", error))?;
        let taken = Rc::new(RefCell::new(Vec::new()));
        let copies = Rc::clone(&taken);
        let mut builder = RingBufferBuilder::new();
        builder.add(&skel.maps.events, move |bytes| {
            let mut record = Record::BLANK;
            let length = bytes.len().min(EVENT_BYTES);
            record.as_mut_bytes()[..length].copy_from_slice(&bytes[..length]);
            copies.borrow_mut().push(record);
            0
        })?;
        Ok(Self {
            ring: builder.build().context("map the ring buffer")?,
            skel,
            taken,
            can_walk,
        })
    }

    /// Runs a program with these bytes as its context; returns what it returned.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn run_with(&self, name: &str, context: &mut [u8]) -> anyhow::Result<u32> {
        self.run(
            name,
            ProgramInput {
                context_in: Some(context),
                ..ProgramInput::default()
            },
        )
    }

    /// Runs a program with two arguments.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn call(&self, name: &str, arguments: [u64; 2]) -> anyhow::Result<u32> {
        let mut context = arguments;
        self.run_with(name, context.as_mut_bytes())
    }

    /// Runs a program on one CPU.
    ///
    /// # Errors
    /// If the kernel does not run it there.
    pub fn call_on(&self, cpu: u32, name: &str, arguments: [u64; 2]) -> anyhow::Result<u32> {
        let mut context = arguments;
        self.run(
            name,
            ProgramInput {
                context_in: Some(context.as_mut_bytes()),
                cpu,
                flags: BPF_F_TEST_RUN_ON_CPU,
                ..ProgramInput::default()
            },
        )
    }

    fn run(&self, name: &str, input: ProgramInput<'_>) -> anyhow::Result<u32> {
        let mut programs = self.skel.object().progs_mut();
        let program = programs.find(|program| program.name() == name);
        let program = program.with_context(|| format!("no program {name}"))?;
        let output = program
            .test_run(input)
            .with_context(|| format!("run {name}"))?;
        Ok(output.return_value)
    }

    /// The programs' data, in which the fake objects lie.
    pub fn data(&mut self) -> &mut types::bss {
        self.skel
            .maps
            .bss_data
            .as_deref_mut()
            .expect("the object has data")
    }

    /// Takes at most so many records out of the ring buffer.
    ///
    /// # Errors
    /// If libbpf cannot read it.
    pub fn take(&self, at_most: usize) -> anyhow::Result<Vec<Record>> {
        for _ in 0..at_most {
            match self.ring.consume_raw_n(1) {
                0 => break,
                errno @ ..0 => bail!("read the ring buffer: error {}", -errno),
                _ => {}
            }
        }
        Ok(self.taken.take())
    }

    /// The number of events lost at each place since the object was loaded.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn losses(
        &self,
    ) -> anyhow::Result<[u64; types::sextant_loss::SEXTANT_LOSS_KINDS.0 as usize]> {
        let mut losses = [0; types::sextant_loss::SEXTANT_LOSS_KINDS.0 as usize];
        for (place, count) in losses.iter_mut().enumerate() {
            let key = (place as u32).to_ne_bytes();
            let per_cpu = self.skel.maps.losses.lookup_percpu(&key, MapFlags::ANY)?;
            *count = per_cpu
                .iter()
                .flatten()
                .filter_map(|bytes| bytes.first_chunk())
                .map(|bytes| u64::from_ne_bytes(*bytes))
                .sum();
        }
        Ok(losses)
    }

    /// All entries of the NAT table.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for is_v6 in [false, true] {
            let map = self.flows(is_v6);
            for key in map.keys() {
                let value = map.lookup(&key, MapFlags::ANY)?;
                let value = value.context("an entry went while nothing ran")?;
                entries.push(Entry { is_v6, key, value });
            }
        }
        Ok(entries)
    }

    /// Writes an entry of the NAT table, as user space does.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn put(&self, entry: &Entry) -> anyhow::Result<()> {
        let map = self.flows(entry.is_v6);
        map.update(&entry.key, &entry.value, MapFlags::ANY)
            .context("write an entry")
    }

    /// Removes an entry of the NAT table.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove(&self, entry: &Entry) -> anyhow::Result<()> {
        self.flows(entry.is_v6)
            .delete(&entry.key)
            .context("remove an entry")
    }

    /// Checks one entry, as `--get` does.
    ///
    /// # Errors
    /// If the kernel does not run the program.
    pub fn check(&self, entry: &Entry) -> anyhow::Result<u32> {
        self.run_with("check_one", &mut requests::check(entry))
    }

    /// Ends the connection with this id, which a dump no longer has, or has another in the place of.
    ///
    /// # Errors
    /// If the kernel does not run the program.
    pub fn end_gone(&self, entry: &Entry, id: u64, is_replaced: bool) -> anyhow::Result<u32> {
        self.run_with("end_gone", &mut requests::gone(entry, id, is_replaced))
    }

    /// Claims the end of a connection, as another program would, until it is released.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn claim(&self, id: u64) -> anyhow::Result<()> {
        let claims = &self.skel.maps.claims;
        claims
            .update(&id.to_ne_bytes(), &[0], MapFlags::NO_EXIST)
            .context("claim")
    }

    /// Releases it.
    ///
    /// # Errors
    /// If it is not claimed.
    pub fn release(&self, id: u64) -> anyhow::Result<()> {
        self.skel
            .maps
            .claims
            .delete(&id.to_ne_bytes())
            .context("release")
    }

    /// Ends that are claimed.
    pub fn claimed(&self) -> usize {
        self.skel.maps.claims.keys().count()
    }

    /// Keys and values of the map of connections that found no room.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn overflowed(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let map = &self.skel.maps.overflow;
        map.keys()
            .map(|key| {
                let value = map.lookup(&key, MapFlags::ANY)?.unwrap_or_default();
                Ok([key, value].concat())
            })
            .collect()
    }

    /// Forgets the calls that are under way, as if the kernel had evicted them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn evict_calls(&self) -> anyhow::Result<()> {
        empty(&self.skel.maps.calls)
    }

    /// Makes the maps and the programs' data as they were after the load, but for the counters.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn reset(&mut self) -> anyhow::Result<()> {
        let maps = &self.skel.maps;
        for map in [
            &maps.flows4,
            &maps.flows6,
            &maps.claims,
            &maps.calls,
            &maps.overflow,
        ] {
            empty(map)?;
        }
        self.take(usize::MAX)?;
        let data = self.data();
        data.recent.fill(0);
        data.fake_memory.fill(0);
        data.table_grew = [0; 2];
        data.has_overflowed = 0;
        data.pump_sleeps = 0;
        data.sweep_result = types::sweep_result::default();
        self.call("learn", [0; 2])?;
        Ok(())
    }

    /// What the last sweep found.
    pub fn swept(&mut self) -> Swept {
        let result = self.data().sweep_result;
        Swept {
            kept: result.kept,
            ended: result.ended,
            stuck: result.stuck != 0,
        }
    }

    fn flows(&self, is_v6: bool) -> &MapMut<'static> {
        if is_v6 {
            &self.skel.maps.flows6
        } else {
            &self.skel.maps.flows4
        }
    }
}

fn empty(map: &MapMut<'_>) -> anyhow::Result<()> {
    let keys: Vec<_> = map.keys().collect();
    for key in keys {
        map.delete(&key).context("empty a map")?;
    }
    Ok(())
}

fn refused(what: &str, error: libbpf_rs::Error) -> anyhow::Error {
    let failure = match error.kind() {
        ErrorKind::PermissionDenied => Failure::Privilege,
        _ => Failure::Kernel,
    };
    anyhow::Error::new(error).context(failure(what.to_owned()))
}
