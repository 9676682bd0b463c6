/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What guesser asks its program to read, and what it gets back. The only truth about these bytes:
 * the Rust side takes its types from the skeleton.
 */
#ifndef GUESSER_WIRE_H
#define GUESSER_WIRE_H

#include <linux/types.h>

/* Limits of one request; array lengths, so that they reach the skeleton. */
#define GUESS_BASES	  8
#define GUESS_PIECES	  48
#define GUESS_PIECE_BYTES 256
#define GUESS_HITS	  4

/*
 * An object: the pointer at `offset` of an earlier one, without its bits in `tag_mask`. The first
 * is the argument of the tracepoint itself, whatever its entry says.
 */
struct guess_base {
	__u64 tag_mask;
	__u32 parent;
	__u32 offset;
};

/* Bytes of an object; the first entry of 0 bytes ends the list. */
struct guess_piece {
	__u32 base;
	__u32 offset;
	__u32 bytes;
};

/* Written by user space, but for `pid_tgid` (by a test run) and `seen`. */
struct guess_request {
	/* Nothing is read while it is 0. */
	__u64 token;
	/* The thread whose events are read. */
	__u64 pid_tgid;
	/* Two addresses that lie further apart are not both in the kernel's linear map. */
	__u64 span_bytes;
	/* Events that passed the filter, also those beyond GUESS_HITS. */
	__u32 seen;
	/* How many of `base` are set, the first included. */
	__u32 bases;
	struct guess_base base[GUESS_BASES];
	struct guess_piece piece[GUESS_PIECES];
};

/* What was read at one event. */
struct guess_hit {
	__u64 token;
	/* 0: not reached. */
	__u64 address[GUESS_BASES];
	/* 0: the piece was read; else its bytes mean nothing. */
	__u8 failed[GUESS_PIECES];
	__u8 arena[GUESS_PIECES][GUESS_PIECE_BYTES];
};

struct guess_exchange {
	struct guess_request request;
	struct guess_hit hit[GUESS_HITS];
};

_Static_assert(sizeof(struct guess_request) == 32 + 8 * 16 + 48 * 12, "wire format");
_Static_assert(sizeof(struct guess_hit) == 72 + 48 + 48 * 256, "wire format");

#endif
