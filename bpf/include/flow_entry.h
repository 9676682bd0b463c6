/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * An entry of the NAT table, exactly as it lies in the pinned maps: the single truth for kernel
 * programs and for Rust (crates/conntrack/src/flow_entry.rs, compared at compile time).
 *
 * There is one entry per connection, under its original tuple. Two live connections have the same
 * one only if the kernel resolved a clash; then the key also says which of them it is.
 *
 * IPv4 and IPv6 differ only in the width of the addresses, which stand last, so one body of code
 * serves both: it works on the wider struct, and `words` says how many 32-bit words an address
 * takes. It is a constant wherever this is inlined.
 *
 * Ports and addresses are in network order, as in the kernel's tuples.
 */
#ifndef FLOW_ENTRY_H
#define FLOW_ENTRY_H

#include <linux/types.h>
#include <stdbool.h>

#define V4_WORDS 1
#define V6_WORDS 4

enum flow_flag {
	/* The ring buffer was full when it began; the next sweep reports it. */
	FLOW_UNANNOUNCED = 1 << 0,
	/* It has ended, status and mark are those of its end, and the ring buffer was full. */
	FLOW_ENDED = 1 << 1,
	/* Its end is reported, and it could not be removed: the next sweep tries again. */
	FLOW_REPORTED = 1 << 2,
};

#define FLOW_KEY(name, words)                                                         \
	struct name {                                                                 \
		__u32 netns_ino; /* 0: not known on this kernel */                    \
		__u16 zone;	 /* likewise */                                       \
		__u8 proto;                                                           \
		__u8 pad0;                                                            \
		__be16 sport;                                                         \
		__be16 dport;                                                         \
		__u32 clash; /* 0, or which of several with this tuple: clash_of() */ \
		__be32 addrs[2 * (words)]; /* source, destination; no gap between */  \
	}

FLOW_KEY(flow4_key, V4_WORDS);
FLOW_KEY(flow6_key, V6_WORDS);

#define FLOW(name, words)                                                                  \
	struct name {                                                                      \
		__u64 ct;	     /* hidden nf_conn; 0: from a dump, not known yet */   \
		__u64 ct_id;	     /* as in the records */                               \
		__u64 first_seen_ns; /* CLOCK_MONOTONIC */                                 \
		__u32 status;	     /* IPS_*, as last seen */                             \
		__u32 mark;                                                                \
		__u32 expires_jiffies; /* nf_conn.timeout as last seen; 0: not known */    \
		__be16 reply_sport;                                                        \
		__be16 reply_dport;                                                        \
		__u8 nat;   /* enum sextant_nat */                                         \
		__u8 flags; /* enum flow_flag */                                           \
		__u8 known; /* enum sextant_known, for key and value */                    \
		__u8 pad0;                                                                 \
		__u32 pad1;                                                                \
		__be32 reply_addrs[2 * (words)]; /* source, destination; no gap between */ \
	}

FLOW(flow4, V4_WORDS);
FLOW(flow6, V6_WORDS);

_Static_assert(sizeof(struct flow4_key) == 24, "table format");
_Static_assert(sizeof(struct flow6_key) == 48, "table format");
_Static_assert(sizeof(struct flow4) == 56, "table format");
_Static_assert(sizeof(struct flow6) == 80, "table format");

static __always_inline void copy_address(__be32 *to, const __be32 *from, const int words)
{
	to[0] = from[0];
	if (words == V6_WORDS) {
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
	}
}

static __always_inline bool same_address(const __be32 *a, const __be32 *b, const int words)
{
	if (words == V4_WORDS)
		return a[0] == b[0];
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

#endif
