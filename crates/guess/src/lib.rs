//! Measures where the running Linux kernel keeps the fields of its structs, by experiment.
//!
//! It needs no kernel headers, no BTF and no kprobes. It makes connections, sockets and route lookups in
//! network namespaces of its own, reads the kernel memory that they leave behind through BPF, and drops
//! every offset that disagrees. A field is *proven* if one offset is left, with enough evidence, and fresh
//! connections confirm it. It never picks one of several.
//!
//! ```no_run
//! use guess::Options;
//! use shared::offsets::Field;
//!
//! let measured = guess::measure(&[Field::NfConnMark, Field::SkBuffNfct], Options::default())?;
//! match measured.offset(Field::NfConnMark) {
//!     Some(bytes) => println!("nf_conn.mark is at {bytes}"),
//!     None => println!("not proven: {:?}", measured.findings),
//! }
//! # Ok::<(), guess::Error>(())
//! ```
//!
//! [`measure`] takes 5 to 20 ms and wants `CAP_NET_ADMIN`, `CAP_SYS_ADMIN` (for namespaces), and
//! `CAP_BPF` with `CAP_PERFMON` or again `CAP_SYS_ADMIN`. It changes nothing on the system, loads no
//! module unless [`Options::allow_system_changes`] says so, prints nothing (it logs through [`log`]) and
//! installs no signal handler. Namespaces and capabilities are those of a thread of its own: the caller's
//! stay as they are. [`start`] does not wait for that thread. [`Measurement::document`] makes the document
//! that `conntrack` and others read.
//!
//! | module | holds |
//! |---|---|
//! | [`fields`] | every place that can be measured, as a table |
//! | [`path`] | which pointers lead to a struct, and which bytes to read |
//! | [`solve`] | the solver and its evidence: pure, of use without any kernel |
//! | [`attempt`] | a solver and the samples that it was given |
//! | [`proven`] | offsets that are proven, wherever they come from |
//! | [`timing`] | where the time went |
//!
//! Private are the experiments (`sample`), what they must show (`expected`), the BPF programs and their
//! hooks (`bpf`, `ladder`), the check on fresh connections (`verify`), what a kernel cannot show
//! (`absence`), and what it takes (`privilege`).

mod absence;
pub mod attempt;
mod bpf;
mod descriptors;
mod expected;
mod experiment;
pub mod fields;
mod ladder;
mod linear_map;
mod measure;
pub mod path;
mod privilege;
pub mod proven;
mod sample;
pub mod solve;
pub mod timing;
mod verify;

pub use bpf::hook::Mechanism;
pub use measure::Error;
pub use measure::ErrorKind;
pub use measure::Known;
pub use measure::Measurement;
pub use measure::Options;
pub use measure::Running;
pub use measure::Stopped;
pub use measure::measure;
pub use measure::start;
