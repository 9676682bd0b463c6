//! A hook that is in place, and how often the kernel skipped its probes.

use libbpf_rs::Link;
use libbpf_rs::query::LinkTypeInfo;
use libbpf_rs::query::PerfEventLinkInfo;
use libbpf_rs::query::PerfEventType;

use super::hooks::Hook;

/// A hook, where it is attached, and by what. Dropping it detaches its programs.
pub struct Attached {
    pub hook: &'static Hook,
    pub symbol: &'static str,
    pub links: Vec<Link>,
}

impl Attached {
    /// How often the kernel found no room for a return, or was busy in another probe; 0 before 6.7, which
    /// does not say.
    pub fn skipped_probes(&self) -> u64 {
        let skipped = |link: &Link| match link.info().map(|info| info.info) {
            Ok(LinkTypeInfo::PerfEvent(PerfEventLinkInfo {
                event_type: PerfEventType::Kprobe { missed, .. },
                ..
            })) => missed,
            _ => 0,
        };
        self.links.iter().map(skipped).sum()
    }
}
