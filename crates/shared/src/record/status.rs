//! Names of the `IPS_*` bits of `nf_conn.status`, as conntrack-tools users know them.
//! Source: `include/uapi/linux/netfilter/nf_conntrack_common.h`, `enum ip_conntrack_status`. Bit 12
//! is called `IPS_UNTRACKED` for user space there, "obsolete and not used anymore"; since 5.7 the
//! kernel itself sets it as `IPS_NAT_CLASH`.

macro_rules! bits {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        $(#[doc = concat!("`IPS_", stringify!($name), "`.")] pub const $name: u32 = 1 << $bit;)*
        const NAMES: &[(u32, &str)] = &[$(($name, $text),)*];
    };
}

bits! {
    EXPECTED = 0, "expected";
    SEEN_REPLY = 1, "seen_reply";
    ASSURED = 2, "assured";
    CONFIRMED = 3, "confirmed";
    SRC_NAT = 4, "src_nat";
    DST_NAT = 5, "dst_nat";
    SEQ_ADJUST = 6, "seq_adjust";
    SRC_NAT_DONE = 7, "src_nat_done";
    DST_NAT_DONE = 8, "dst_nat_done";
    DYING = 9, "dying";
    FIXED_TIMEOUT = 10, "fixed_timeout";
    TEMPLATE = 11, "template";
    NAT_CLASH = 12, "nat_clash";
    HELPER = 13, "helper";
    OFFLOAD = 14, "offload";
    HW_OFFLOAD = 15, "hw_offload";
}

/// Names of the bits that are set. Bits without a name are left out.
pub fn names(status: u32) -> impl Iterator<Item = &'static str> {
    let set = NAMES.iter().filter(move |(bit, _)| status & bit != 0);
    set.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_clash_has_the_name_that_the_kernel_gives_it() {
        assert!(names(CONFIRMED | FIXED_TIMEOUT | 1 << 12).eq([
            "confirmed",
            "fixed_timeout",
            "nat_clash",
        ]));
    }

    #[test]
    fn each_bit_has_a_name_of_its_own() {
        let all: Vec<&str> = names(0xffff).collect();
        assert_eq!(BTreeSet::from_iter(&all).len(), 16);
        for (bit, name) in all.into_iter().enumerate() {
            assert!(names(1 << bit).eq([name]));
        }
        assert!(names(CONFIRMED | 1 << 16).eq(["confirmed"]));
    }
}
