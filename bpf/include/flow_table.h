/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * An entry of the NAT table, exactly as it lies in the pinned maps: the single truth for kernel
 * programs and for Rust (crates/conntrack/src/table/wire.rs, compared at compile time).
 *
 * There is one entry per connection, under its original tuple. IPv4 and IPv6 differ only in the
 * width of the addresses, which stand last, so that one body of code serves both: it works on the
 * wider struct and says how wide an address is.
 *
 * Ports and addresses are in network order, as in the kernel's tuples.
 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <linux/types.h>

enum flow_flag {
	/* The ring buffer was full when it began; the next sweep tells of it. */
	FLOW_UNANNOUNCED = 1 << 0,
};

struct flow4_key {
	__u32 netns_ino; /* 0: the kernel's layout does not tell */
	__u16 zone;	 /* likewise */
	__u8 proto;
	__u8 pad0;
	__be16 sport;
	__be16 dport;
	__be32 src;
	__be32 dst;
};

struct flow6_key {
	__u32 netns_ino;
	__u16 zone;
	__u8 proto;
	__u8 pad0;
	__be16 sport;
	__be16 dport;
	__be32 addrs[8]; /* source, destination; packed from the front */
};

struct flow4 {
	__u64 ct;	     /* struct nf_conn *; 0: loaded from a dump, not seen by us yet */
	__u64 ct_id;	     /* as in the records */
	__u64 first_seen_ns; /* CLOCK_MONOTONIC */
	__u32 status;	     /* IPS_*, as last seen */
	__u32 mark;
	__be16 reply_sport;
	__be16 reply_dport;
	__u8 nat;   /* enum sextant_nat */
	__u8 flags; /* enum flow_flag */
	__u8 known; /* enum sextant_known: what of key and value is told */
	__u8 pad0;
	__be32 reply_src;
	__be32 reply_dst;
};

struct flow6 {
	__u64 ct;
	__u64 ct_id;
	__u64 first_seen_ns;
	__u32 status;
	__u32 mark;
	__be16 reply_sport;
	__be16 reply_dport;
	__u8 nat;
	__u8 flags;
	__u8 known;
	__u8 pad0;
	__be32 reply_addrs[8]; /* source, destination; packed from the front */
};

#define SAME_OFFSET(a, field_a, b, field_b)                                              \
	_Static_assert(__builtin_offsetof(a, field_a) == __builtin_offsetof(b, field_b), \
		       #field_a " and " #field_b " must lie at the same place")

SAME_OFFSET(struct flow4_key, dport, struct flow6_key, dport);
SAME_OFFSET(struct flow4_key, src, struct flow6_key, addrs);
SAME_OFFSET(struct flow4, flags, struct flow6, flags);
SAME_OFFSET(struct flow4, reply_src, struct flow6, reply_addrs);
_Static_assert(sizeof(struct flow4_key) == 20, "table format");
_Static_assert(sizeof(struct flow6_key) == 44, "table format");
_Static_assert(sizeof(struct flow4) == 48, "table format");
_Static_assert(sizeof(struct flow6) == 72, "table format");

#endif
