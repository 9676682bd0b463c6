//! The parts of a tracked network that a kernel can refuse one by one.

/// What a kernel may be unable to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Connection tracking itself; without it no other part is set up.
    Tracking,
    /// Zones that packets choose.
    Zone,
    /// Marks that packets set.
    Mark,
    /// Rewriting of destinations.
    Dnat,
    /// Rewriting of sources.
    Snat,
}
