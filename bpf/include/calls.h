/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Carries what a function's entry shows to its return, because a kretprobe does not see it.
 *
 * A task may be preempted and moved to another CPU in between, and an interrupt may enter the
 * same function on top of it. So the arguments are stacked per task, not per CPU. The idle tasks
 * all have the id 0 but never move, so theirs are stacked per CPU.
 *
 * The kernel skips a probe when it is busy in another one, or out of return instances. The stack
 * pointer tells which entry belongs to a return, so a skipped one is counted and never mistaken.
 */
#ifndef CALLS_H
#define CALLS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "losses.h"
#include "sextant_record.h"

/* Process context, softirq, hardirq; no deeper nesting is possible. */
#define CALL_DEPTH 4
/* How far a return leaves the stack pointer above its entry: one return address, or a few. */
#define CALL_STACK_SLACK 32

struct call {
	__u64 argument;
	__u64 ct; /* the connection at entry; 0: not looked for */
	__u64 stack_pointer;
};

struct call_stack {
	struct call calls[CALL_DEPTH];
	__u32 depth;
	__u32 pad0;
};

/*
 * Key: task. Value: its current calls. Written at entry, read at return. An empty entry stays for
 * the task's next call, because adding one costs more than all else here. When full, the least
 * recently used entry is evicted; if its task is in a call, the return counts it as missed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct call_stack);
} calls SEC(".maps");

static __always_inline __u64 this_task(void)
{
	__u64 task = bpf_get_current_pid_tgid() & 0xffffffff;

	return task ?: 1ULL << 32 | bpf_get_smp_processor_id();
}

static __always_inline void enter_call(__u64 argument, __u64 ct, __u64 stack_pointer)
{
	__u64 task = this_task();
	struct call_stack fresh = {.calls = {{argument, ct, stack_pointer}}, .depth = 1};
	struct call_stack *stack = bpf_map_lookup_elem(&calls, &task);
	__u32 depth;

	if (!stack) {
		/* If it fails, the return finds nothing and counts. */
		bpf_map_update_elem(&calls, &task, &fresh, BPF_ANY);
		return;
	}
	/* Deeper than possible: the returns were skipped. */
	if (stack->depth >= CALL_DEPTH) {
		count_losses(SEXTANT_LOSS_PROBE_MISSED, CALL_DEPTH);
		stack->depth = 0;
	}
	depth = stack->depth & (CALL_DEPTH - 1);
	stack->calls[depth].argument = argument;
	stack->calls[depth].ct = ct;
	stack->calls[depth].stack_pointer = stack_pointer;
	stack->depth = depth + 1;
}

/* The argument and the connection of the call that returns, or 0 if its entry was not seen. */
static __always_inline __u64 leave_call(__u64 stack_pointer, __u64 *ct)
{
	__u64 task = this_task();
	struct call_stack *stack = bpf_map_lookup_elem(&calls, &task);
	__u32 depth = stack ? stack->depth : 0;

	for (int i = 0; i < CALL_DEPTH; i++) {
		struct call *call;

		if (!stack || depth == 0)
			break;
		depth--;
		call = &stack->calls[depth & (CALL_DEPTH - 1)];
		if (stack_pointer - call->stack_pointer > CALL_STACK_SLACK)
			continue;
		/* Those above it have ended, and their returns were skipped. */
		if (stack->depth > depth + 1)
			count_losses(SEXTANT_LOSS_PROBE_MISSED, stack->depth - depth - 1);
		stack->depth = depth;
		*ct = call->ct;
		return call->argument;
	}
	count_loss(SEXTANT_LOSS_PROBE_MISSED);
	return 0;
}

#endif
