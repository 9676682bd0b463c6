//! Loads one program of `bpf/kcheck.bpf.c` at a time, with only the maps that it uses, and reads the trace
//! that it leaves.

pub mod mapped;

use libbpf_rs::Map;
use libbpf_rs::MapCore as _;
use libbpf_rs::MapFlags;
use libbpf_rs::Object;
use libbpf_rs::ObjectBuilder;
use libbpf_rs::PrintLevel;
use libbpf_rs::ProgramInput;
use libbpf_rs::ProgramMut;

use crate::probe::During as _;
use crate::probe::Obstacle;

/// The map in which a program leaves its trace.
pub const TRACE: &str = "kcheck_trace";
/// The map with the name of the thread whose calls a hook counts.
pub const WHOSE: &str = "kcheck_whose";
/// The map that a program iterates over.
pub const WALKED: &str = "kcheck_walked";
/// The ring buffer.
pub const RECORDS: &str = "kcheck_records";

/// Aligned as ELF wants it.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kcheck.bpf.o")));

/// Sends libbpf's messages to the log, where only `-vv` shows them: to a probe, a refusal is an answer and
/// no failure.
pub fn silence_libbpf() {
    libbpf_rs::set_print(Some((PrintLevel::Debug, |_, text| {
        log::debug!("{}", text.trim_end());
    })));
}

/// One loaded program with its maps; dropping it frees both.
pub struct Loaded {
    object: Object,
    program: &'static str,
}

impl Loaded {
    /// Loads this program and creates these maps, and nothing else of the object.
    pub fn load(program: &'static str, maps: &[&str]) -> Result<Self, Obstacle> {
        let mut open = ObjectBuilder::default()
            .name("kcheck")
            .and_then(|builder| builder.open_memory(&OBJECT.0))
            .during("open of the object")?;
        for mut other in open.progs_mut() {
            let load = other.name() == program;
            other.set_autoload(load);
        }
        for mut map in open.maps_mut() {
            let create = maps.iter().any(|name| map.name() == *name);
            map.set_autocreate(create).during("open of the object")?;
        }
        let object = open.load().during(format!("load of {program}"))?;
        Ok(Self { object, program })
    }

    /// The program.
    pub fn program(&self) -> ProgramMut<'_> {
        self.object
            .progs_mut()
            .find(|program| program.name() == self.program)
            .expect("it has just been loaded under this name")
    }

    /// One of the maps it was loaded with.
    pub fn map(&self, name: &str) -> Map<'_> {
        self.object
            .maps()
            .find(|map| map.name() == name)
            .expect("it has been created with the program")
    }

    /// Runs the program once with one argument, without a hook.
    pub fn run(&self, argument: u64) -> Result<(), Obstacle> {
        let mut context = argument.to_ne_bytes();
        let input = ProgramInput {
            context_in: Some(&mut context),
            ..ProgramInput::default()
        };
        self.program()
            .test_run(input)
            .map(drop)
            .during("BPF_PROG_TEST_RUN")
    }

    /// What the program left.
    pub fn trace(&self) -> Result<u64, Obstacle> {
        let value = self
            .map(TRACE)
            .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .during("BPF_MAP_LOOKUP_ELEM")?;
        value
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_ne_bytes)
            .ok_or_else(|| Obstacle::absent("an array map has no first element"))
    }

    /// Stores a value in one of the maps.
    pub fn store(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Obstacle> {
        self.map(map)
            .update(key, value, MapFlags::ANY)
            .during("BPF_MAP_UPDATE_ELEM")
    }
}
