//! Measures where the running Linux kernel keeps the fields of its structs, by experiment.
//!
//! It needs no kernel headers, no BTF and no kprobes. It makes connections, sockets and route lookups in
//! network namespaces of its own, reads the kernel's structs for them through BPF, and drops every offset
//! that disagrees with what it did. A field is *proven* if exactly one offset is left, the evidence
//! suffices, and fresh connections confirm it. The library never picks one of several offsets.
//!
//! ```no_run
//! use guess::Field;
//! use guess::Options;
//!
//! let measured = guess::measure(&[Field::NfConnMark, Field::SkBuffNfct], Options::default())?;
//! match measured.offset(Field::NfConnMark) {
//!     Some(bytes) => println!("nf_conn.mark is at {bytes}"),
//!     None => println!("not proven: {:?}", measured.findings),
//! }
//! # Ok::<(), guess::Error>(())
//! ```
//!
//! [`Field`] lists every field that can be measured; [`Field::CONNTRACK`], [`Field::SOCKET`] and
//! [`Field::ALL`] are sets of them.
//!
//! [`measure()`] takes 5 to 20 ms in a release build and needs `CAP_NET_ADMIN`, `CAP_SYS_ADMIN` (for
//! namespaces), `CAP_BPF` and `CAP_PERFMON` (`CAP_SYS_ADMIN` includes both). It changes nothing on the
//! system; but where the kernel can make no namespace that tracks connections, it adds entries of its own
//! connections in namespaces that do, and deletes them. It loads no module unless [`Options::allow_system_changes`] says so, prints nothing (it logs through [`log`]) and
//! installs no signal handler. It enters namespaces and drops capabilities on a thread of its own, so the
//! caller keeps its own. Two things belong to the whole process: libbpf's print callback, which it borrows
//! and puts back, and the table of descriptors, in which it makes room. [`start`] does not wait for the
//! thread. [`Measurement::document`] makes the document that `conntrack` reads.
//!
//! | module | holds |
//! |---|---|
//! | [`fields`] | every place that can be measured, as a table |
//! | [`path`] | which pointers lead to a struct, and which bytes to read |
//! | [`solve`] | the solver and its evidence: pure, usable without a kernel |
//! | [`attempt`] | a solver and the samples that it was given |
//! | [`proven`] | proven offsets, whatever their source |
//! | [`timing`] | where the time went |
//!
//! The private modules are the experiments (`sample`) and what they must show (`expected`), the BPF
//! programs and their hooks (`bpf`, `ladder`), the check on fresh connections (`verify`), the reasons why a
//! kernel cannot show a field (`absence`), and the capabilities needed (`privilege`).

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
mod measurement;
mod options;
pub mod path;
mod privilege;
pub mod proven;
mod random;
mod sample;
pub mod solve;
pub mod timing;
mod verify;

pub use bpf::hook::Mechanism;
pub use measure::Error;
pub use measure::ErrorKind;
pub use measure::Running;
pub use measure::measure;
pub use measure::start;
pub use measurement::Measurement;
pub use options::Known;
pub use options::Options;
pub use options::Stopped;
pub use shared::offsets::Document;
pub use shared::offsets::Field;
pub use shared::offsets::Status;
pub use solve::verdict::Finding;
