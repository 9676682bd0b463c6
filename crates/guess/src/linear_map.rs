//! How far apart two addresses of the kernel's linear map can be. The map is as long as physical memory,
//! including its holes.

use std::fs;

use anyhow::Context as _;
use nix::unistd::SysconfVar;
use nix::unistd::sysconf;

/// An upper bound of the linear map's length, from `/proc/zoneinfo`.
///
/// # Errors
/// If the file cannot be read or names no zone.
pub fn span_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/zoneinfo").context("read /proc/zoneinfo")?;
    let pages = last_page(&text).context("/proc/zoneinfo names no zone")?;
    let page_bytes = sysconf(SysconfVar::PAGE_SIZE)?.context("the page size is unknown")?;
    Ok(pages * u64::try_from(page_bytes)?)
}

/// The page behind the last one of any zone.
fn last_page(zoneinfo: &str) -> Option<u64> {
    let mut spanned = 0;
    let mut last = None;
    for line in zoneinfo.lines() {
        let mut words = line.split_whitespace();
        let name = words.next();
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match (name, number) {
            (Some("spanned"), Some(pages)) => spanned = pages,
            (Some("start_pfn:"), Some(start)) if spanned > 0 => {
                last = last.max(Some(start + spanned))
            }
            _ => {}
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_highest_zone_counts() {
        let text = "Node 0, zone      DMA\n        spanned  4095\n  start_pfn:           1\n\
                    Node 0, zone   Normal\n        spanned  5505024\n  start_pfn:           1048576\n\
                    Node 0, zone  Movable\n        spanned  0\n  start_pfn:           99999999\n";
        assert_eq!(last_page(text), Some(6_553_600));
        assert_eq!(last_page("Node 0, zone DMA\n  spanned 0\n"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(span_bytes().unwrap() > 1 << 20);
    }
}
