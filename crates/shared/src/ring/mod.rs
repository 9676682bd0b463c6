//! The shared-memory ring: one writer, any number of read-only readers, and none waits for another.
//!
//! ```text
//!  /dev/shm/NAME   | header 4096 bytes          | slot 0 | slot 1 | … | slot 2^n - 1 |
//!                    what, who, alive, losses,    192 bytes each: seq, then the record
//!                    head, futex word
//! ```
//!
//! [`layout`] is the ABI, [`slot`] the protocol that one slot follows, [`writer`] and [`reader`]
//! the two ends. [`place`] looks at what has the ring's name, and [`claim`] gives the name to a new ring. The
//! unsafe parts are [`map`], the memory, [`sigbus`], which keeps a file that is cut from ending us, and
//! [`doorbell`], the futex.
//!
//! Under `--cfg loom` only the protocol is built: loom's atomics cannot lie in mapped memory.

#[cfg(not(loom))]
pub mod claim;
pub mod doorbell;
pub mod error;
pub mod header;
pub mod layout;
pub mod lock;
#[cfg(not(loom))]
pub mod map;
pub mod name;
pub mod place;
#[cfg(not(loom))]
pub mod reader;
pub mod sigbus;
pub mod slot;
#[cfg(not(loom))]
pub mod writer;

pub use error::RingError;
pub use name::RingName;
#[cfg(not(loom))]
pub use reader::Reader;
#[cfg(not(loom))]
pub use writer::Writer;
