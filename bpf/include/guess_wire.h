/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The requests to the capture programs, and their answers. These bytes are defined only here: the
 * Rust side takes its types from the skeleton.
 */
#ifndef GUESS_WIRE_H
#define GUESS_WIRE_H

#include <linux/types.h>

/* Limits of one request. They are lengths of arrays, so that they reach the skeleton. */
#define GUESS_BASES	  16
#define GUESS_PIECES	  64
#define GUESS_PIECE_BYTES 256
#define GUESS_HITS	  4

/* What a hook shows. A request names one of these. */
enum guess_event {
	GUESS_NOTHING = 0,
	/* A sk_buff that is about to be transmitted. */
	GUESS_PACKET = 1,
	/* A TCP socket whose state changes. */
	GUESS_SOCK_STATE = 2,
	/* The flowi4 of a route lookup. */
	GUESS_ROUTE4 = 3,
	/* The flowi6 of a route lookup. */
	GUESS_ROUTE6 = 4,
};

/*
 * An object: the pointer at `offset` of the earlier object `parent`, without its bits in
 * `tag_mask`. The first entry is ignored, because the first object is the one that the hook shows.
 */
struct guess_base {
	__u64 tag_mask;
	__u32 parent;
	__u32 offset;
};

/* Bytes of an object. The first entry with 0 bytes ends the list. */
struct guess_piece {
	__u32 base;
	__u32 offset;
	__u32 bytes;
};

/* User space writes all of it except `pid_tgid` (a test run writes that), `seen` and `current`. */
struct guess_request {
	/* While it is 0, nothing is read. */
	__u64 token;
	/* The thread whose events are read. */
	__u64 pid_tgid;
	/* Two addresses that are further apart are not both in the kernel's linear map. */
	__u64 span_bytes;
	/* Events that passed the filter, including those beyond GUESS_HITS. */
	__u32 seen;
	/* How many entries of `base` are set, including the first. */
	__u32 bases;
	/* Only events of this kind are answered. */
	enum guess_event event;
	/* The hit that a hook began. */
	__u32 current;
	struct guess_base base[GUESS_BASES];
	struct guess_piece piece[GUESS_PIECES];
};

/* What was read at one event. */
struct guess_hit {
	__u64 token;
	/* 0: not reached. */
	__u64 address[GUESS_BASES];
	/* 0: the piece was read; else its bytes are undefined. */
	__u8 failed[GUESS_PIECES];
	__u8 arena[GUESS_PIECES][GUESS_PIECE_BYTES];
};

struct guess_exchange {
	struct guess_request request;
	struct guess_hit hit[GUESS_HITS];
};

_Static_assert(sizeof(struct guess_request) == 40 + 16 * 16 + 64 * 12, "wire format");
_Static_assert(sizeof(struct guess_hit) == 136 + 64 + 64 * 256, "wire format");

#endif
