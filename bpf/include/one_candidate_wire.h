/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The mailbox between one_candidate and its programs. The only truth about these bytes: the Rust
 * side takes its types from the skeleton.
 */
#ifndef ONE_CANDIDATE_WIRE_H
#define ONE_CANDIDATE_WIRE_H

#include <linux/types.h>

#define ONE_COMM_BYTES 16

enum one_state {
	ONE_IDLE = 0,
	/* User space has written a candidate. */
	ONE_CHECKING = 1,
	/* A program has read it. */
	ONE_CHECKED = 2,
};

/* The struct that a candidate is an offset in. */
enum one_object {
	ONE_SOCK = 0,
	ONE_NF_CONN = 1,
};

struct one_status {
	enum one_state state;
	enum one_object object;
	/* The candidate: moved up by the program to the next multiple of `align`. */
	__u64 offset;
	/* Whether a pointer is at the candidate, and the value `inner` bytes behind it. */
	__u64 follows;
	/* Moved up in the same way. */
	__u64 inner;
	/* Bytes of the value: 2 or 4. */
	__u64 bytes;
	/* 1: every byte is a candidate. */
	__u64 align;
	/* Of the value, if it is read through a pointer. */
	__u64 inner_align;
	/* What was there; 0 if it could not be read. */
	__u64 value;
	/* 1: the pointer is null, or nothing can be read there. */
	__u64 failed;
	/* Whose events are looked at. */
	__u8 comm[ONE_COMM_BYTES];
};

_Static_assert(sizeof(struct one_status) == 88, "wire format");

#endif
