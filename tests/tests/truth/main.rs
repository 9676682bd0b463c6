//! Every record is true: situations in which a record was once invented, doubled, merged with another or
//! stale. The sockets that received, nft's counters and conntrack-tools say what is right.

mod clash;
mod endings;
mod exact;
mod lookup;
mod older;
mod portless;
mod reborn;
mod refused;
mod table;

use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

/// A tracepoint sees the whole machine, so another test's connections fill the same table.
static MACHINE: RwLock<()> = RwLock::new(());

/// With this, a test makes few connections, and does not mind those of others.
fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// With this, a test counts what was lost, or makes more connections than others could bear. Losses are those
/// of the whole machine: whoever else connects meanwhile is counted, too, and the test fails.
fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
