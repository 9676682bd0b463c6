/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Carries an argument from a function's entry to its return, because a kretprobe does not see it.
 *
 * A task may be preempted and moved to another CPU in between, and an interrupt may enter the
 * same function on top of it. So the arguments are stacked per task, not per CPU. The idle tasks
 * all have the id 0 but never move, so theirs are stacked per CPU.
 */
#ifndef CALLS_H
#define CALLS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Process context, softirq, hardirq; no deeper nesting is possible. */
#define CALL_DEPTH 4

struct call_stack {
	__u64 argument[CALL_DEPTH];
	__u32 depth;
	__u32 pad0;
};

/*
 * Key: task. Value: the arguments of its current calls. Written at entry, read at return. An empty
 * entry stays for the task's next call, because adding one costs more than all else here. When
 * full, the least recently used entry is evicted, whose task is not in a call.
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

static __always_inline void enter_call(__u64 argument)
{
	__u64 task = this_task();
	struct call_stack fresh = {.argument = {argument}, .depth = 1};
	struct call_stack *stack = bpf_map_lookup_elem(&calls, &task);

	if (!stack) {
		bpf_map_update_elem(&calls, &task, &fresh, BPF_ANY);
		return;
	}
	/* Deeper than possible: returns were missed, so the stack is stale. */
	if (stack->depth >= CALL_DEPTH)
		stack->depth = 0;
	stack->argument[stack->depth & (CALL_DEPTH - 1)] = argument;
	stack->depth++;
}

/* The argument of the innermost call, or 0. */
static __always_inline __u64 leave_call(void)
{
	__u64 task = this_task();
	struct call_stack *stack = bpf_map_lookup_elem(&calls, &task);

	if (!stack || stack->depth == 0)
		return 0;
	stack->depth--;
	return stack->argument[stack->depth & (CALL_DEPTH - 1)];
}

#endif
