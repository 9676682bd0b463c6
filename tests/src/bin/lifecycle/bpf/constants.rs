//! How the programs are loaded, and what that makes their constants.

use shared::record::wire::known;

use super::secrets::HIDE_FACTOR;
use super::secrets::HIDE_MASK;
use super::secrets::ID_FACTOR;
use super::secrets::inverse;
use super::skel::types;
use crate::fake::Offsets;

/// How the programs are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    pub offsets: Offsets,
    pub nat_only: bool,
    pub max_entries: u32,
    pub ring_bytes: u32,
    /// Entries of the tables that only `--bench` fills; 0 for all else.
    pub timed: u32,
}

/// Sets the programs' constants.
pub fn set(rodata: &mut types::rodata, setup: &Setup, cpus: u32) {
    let offsets = &setup.offsets;
    let (first, end) = offsets.window();
    let within = |at: usize| (at - first) as u32;
    let bit = |is_known: bool, bit| if is_known { bit } else { 0 };
    rodata.off_skb_nfct = offsets.skb_nfct as u32;
    rodata.window_start = first as u32;
    rodata.window_bytes = (end - first) as u32;
    rodata.at_orig = within(offsets.orig);
    rodata.at_reply = within(offsets.reply);
    rodata.at_status = within(offsets.status);
    rodata.off_ct_status = offsets.status as u32;
    if let Some((ct_net, inum)) = offsets.netns {
        rodata.at_ct_net = within(ct_net);
        rodata.off_net_inum = inum as u32;
    }
    rodata.at_mark = offsets.mark.map_or(0, within);
    rodata.at_zone = offsets.zone.map_or(0, within);
    rodata.at_timeout = offsets.timeout.map_or(0, within);
    rodata.has_timeout = offsets.timeout.is_some();
    rodata.layout_known = bit(offsets.netns.is_some(), known::NETNS)
        | bit(offsets.mark.is_some(), known::MARK)
        | bit(offsets.zone.is_some(), known::ZONE);
    rodata.nat_only = setup.nat_only;
    rodata.id_factor = ID_FACTOR;
    rodata.possible_cpus = cpus;
    rodata.hide_mask = HIDE_MASK;
    rodata.hide_factor = HIDE_FACTOR;
    rodata.hide_inverse = inverse(HIDE_FACTOR);
}
