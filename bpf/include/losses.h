/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Counts every event that is lost in the kernel, by place. */
#ifndef LOSSES_H
#define LOSSES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "sextant_record.h"

/*
 * Key: enum sextant_loss. Value: events lost there, on one CPU. Written by every program, read by
 * the pump once a second and at its end. It has a fixed size.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SEXTANT_LOSS_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} losses SEC(".maps");

static __always_inline void count_losses(__u32 where, __u64 number)
{
	__u64 *lost = bpf_map_lookup_elem(&losses, &where);

	/* Atomic: a program in an interrupt may nest in another one on the same CPU. */
	if (lost)
		__sync_fetch_and_add(lost, number);
}

static __always_inline void count_loss(__u32 where)
{
	count_losses(where, 1);
}

#endif
