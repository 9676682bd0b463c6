/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One connection record, exactly as it lies in a slot of the shared-memory ring: the single truth
 * for kernel programs, for Rust (crates/shared/src/record/wire.rs, compared at compile time in
 * crates/conntrack) and for readers in C (contrib/ring).
 *
 * Integers only, in native byte order, largest alignment first within each line; what a bit of
 * `known` does not mark as valid is zero and means nothing.
 */
#ifndef SEXTANT_RECORD_H
#define SEXTANT_RECORD_H

#include <linux/types.h>

enum sextant_record_type {
	SEXTANT_NEW = 1,     /* first sight of a confirmed connection */
	SEXTANT_UPDATE = 2,  /* a change; reported only on request */
	SEXTANT_DESTROY = 3, /* the kernel removed it from its table */
	SEXTANT_DUMP = 4,    /* it was there before the program started */
	SEXTANT_LOSS = 5,    /* packets[0] events were lost at loss_where */
};

/* The same values as AF_INET and AF_INET6. */
enum sextant_family {
	SEXTANT_IPV4 = 2,
	SEXTANT_IPV6 = 10,
};

enum sextant_nat {
	SEXTANT_SNAT = 1 << 0,
	SEXTANT_DNAT = 1 << 1,
};

/* Which of the optional fields are valid. */
enum sextant_known {
	SEXTANT_KNOWN_NETNS = 1 << 0,
	SEXTANT_KNOWN_STATUS = 1 << 1,
	SEXTANT_KNOWN_MARK = 1 << 2,
	SEXTANT_KNOWN_ZONE = 1 << 3,
	SEXTANT_KNOWN_COUNTERS = 1 << 4,
	SEXTANT_KNOWN_START = 1 << 5,
	SEXTANT_KNOWN_TIME = 1 << 6,
};

/* Where events were lost; also the index of the counter in the ring's header. */
enum sextant_loss {
	SEXTANT_LOSS_NONE = 0,
	SEXTANT_LOSS_RINGBUF_FULL = 1,	    /* BPF ring buffer had no room */
	SEXTANT_LOSS_TABLE_FULL = 2,	    /* NAT table had no room */
	SEXTANT_LOSS_READ_FAULT = 3,	    /* kernel memory could not be read */
	SEXTANT_LOSS_UNKNOWN_FAMILY = 4,    /* tuple is neither IPv4 nor IPv6 */
	SEXTANT_LOSS_NETLINK_OVERRUN = 5,   /* ENOBUFS: at least this many events */
	SEXTANT_LOSS_NETLINK_MALFORMED = 6, /* message that could not be parsed */
	SEXTANT_LOSS_DUMP_INTERRUPTED = 7,  /* table changed during a dump */
	SEXTANT_LOSS_RING_OVERWRITTEN = 8,  /* a reader fell behind; counted by that reader */
	SEXTANT_LOSS_TABLE_REFUSED = 9,	    /* NAT table had room but refused an entry */
	SEXTANT_LOSS_PROBE_MISSED = 10,	    /* the kernel ran a probe not at all, or half */
	SEXTANT_LOSS_TUPLE_BUSY = 11,	    /* the tuple's previous connection was being ended */
	SEXTANT_LOSS_KINDS = 12,
};

struct sextant_record {
	__u64 seq;	    /* 0: 2n+1 while record n is written, 2n+2 when it is done */
	__u64 ts_mono_ns;   /* 8: CLOCK_MONOTONIC */
	__u64 ct_id;	    /* 16: same for all records of one connection; below 2^53 */
	__u8 type;	    /* 24: enum sextant_record_type */
	__u8 family;	    /* 25: enum sextant_family */
	__u8 proto;	    /* 26: IPPROTO_* */
	__u8 nat;	    /* 27: enum sextant_nat */
	__u32 netns_ino;    /* 28: inode of the network namespace */
	__u32 status;	    /* 32: IPS_* */
	__u32 mark;	    /* 36 */
	__u16 zone;	    /* 40 */
	__u8 loss_where;    /* 42: enum sextant_loss, in a SEXTANT_LOSS record */
	__u8 pad0;	    /* 43 */
	__u32 known;	    /* 44: enum sextant_known */
	__u8 orig_src[16];  /* 48: network order; IPv4 as ::ffff:a.b.c.d */
	__u8 orig_dst[16];  /* 64 */
	__u8 reply_src[16]; /* 80 */
	__u8 reply_dst[16]; /* 96 */
	__u16 orig_sport;   /* 112: host order; ICMP: id */
	__u16 orig_dport;   /* 114: ICMP: type << 8 | code */
	__u16 reply_sport;  /* 116 */
	__u16 reply_dport;  /* 118 */
	__u64 start_ns;	    /* 120: CLOCK_REALTIME of the first packet */
	__u64 packets[2];   /* 128: original direction, reply */
	__u64 bytes[2];	    /* 144 */
	__u64 ts_ns;	    /* 160: CLOCK_REALTIME of the event, filled by conntrack */
	__u64 reserved[3];  /* 168: zero; for later minor versions */
};

_Static_assert(sizeof(struct sextant_record) == 192, "a slot is three cache lines");
_Static_assert(__builtin_offsetof(struct sextant_record, packets) == 128,
	       "the first two cache lines suffice without counters");

#endif
