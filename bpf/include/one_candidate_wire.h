/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The mailbox between one_candidate and its programs. These bytes are defined only here: the Rust
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

/* The struct in which a candidate is an offset. */
enum one_object {
	ONE_SOCK = 0,
	ONE_NF_CONN = 1,
};

struct one_status {
	enum one_state state;
	enum one_object object;
	/* The candidate; the program rounds it up to the next multiple of `align`. */
	__u64 offset;
	/* Whether the candidate is a pointer, with the value `inner` bytes behind its target. */
	__u64 follows;
	/* Rounded up in the same way. */
	__u64 inner;
	/* The size of the value: 2 or 4. */
	__u64 bytes;
	/* 1: every byte is a candidate. */
	__u64 align;
	/* The alignment of the value, if it is read through a pointer. */
	__u64 inner_align;
	/* The value; 0 if it could not be read. */
	__u64 value;
	/* 1: the pointer is null, or nothing can be read there. */
	__u64 failed;
	/* The name of the process whose events are examined. */
	__u8 comm[ONE_COMM_BYTES];
};

_Static_assert(sizeof(struct one_status) == 88, "wire format");

#endif
