/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Times the programs of conntrack and the operations of alternatives.h, many connections in one
 * run. Part of lifecycle.bpf.c; needs bpf_loop (5.17).
 *
 * Each program works on a range of `objects`, which it has read before its time begins: in the
 * kernel, too, the caller has just written the nf_conn. The table's memory is in no cache.
 */
#ifndef TIMING_H
#define TIMING_H

#include "alternatives.h"
#include "timed_objects.h"

static long touch(__u64 i, __u64 *first)
{
	struct object *object = object_at(*first + i);

	for (int word = 0; object && word < 32; word += 8)
		sum += object->words[word];
	return 0;
}

/* Times `callback` on args[1] objects from number args[0] on. */
#define TIME(callback)                                       \
	{                                                    \
		__u64 first = ctx->args[0];                  \
		__u64 began;                                 \
                                                             \
		bpf_loop(ctx->args[1], touch, &first, 0);    \
		began = bpf_ktime_get_ns();                  \
		bpf_loop(ctx->args[1], callback, &first, 0); \
		timed_ns = bpf_ktime_get_ns() - began;       \
		return 0;                                    \
	}

#define TIMED(name)                                            \
	static long each_##name(__u64 i, __u64 *first)         \
	{                                                      \
		struct object *object = object_at(*first + i); \
		struct subject subject;                        \
                                                               \
		if (!object)                                   \
			return 1;                              \
		take_subject(object, &subject);                \
		op_##name(&subject);                           \
		return 0;                                      \
	}                                                      \
	SEC("raw_tp") int time_##name(struct bpf_raw_tracepoint_args *ctx) TIME(each_##name)

TIMED(nothing)
TIMED(add_by_tuple)
TIMED(find_then_add_by_tuple)
TIMED(add_by_ct)
TIMED(add_by_ct_and_index)
TIMED(add_by_both)
TIMED(readd_by_tuple)
TIMED(find_by_tuple)
TIMED(find_by_ct)
TIMED(find_by_both)
TIMED(remove_by_tuple)
TIMED(claim_and_remove_by_tuple)
TIMED(remove_by_ct)
TIMED(remove_by_ct_and_index)
TIMED(remove_by_both)
TIMED(id_from_counter)
TIMED(id_from_time)

/* The programs themselves, in the place of their hooks. */
#define TIMED_PROGRAM(name, run)                                                \
	static __attribute__((flatten)) long each_##name(__u64 i, __u64 *first) \
	{                                                                       \
		struct object *object = object_at(*first + i);                  \
		__u64 args[2] = {};                                             \
                                                                                \
		if (!object)                                                    \
			return 1;                                               \
		run;                                                            \
		return 0;                                                       \
	}                                                                       \
	SEC("raw_tp") int time_##name(struct bpf_raw_tracepoint_args *ctx) TIME(each_##name)

TIMED_PROGRAM(no_program, (sum += object->words[0] + args[0]))
TIMED_PROGRAM(packet, ({
		      args[0] = (__u64)object + OBJECT_SKB;
		      on_net_dev_queue((void *)args);
	      }))
TIMED_PROGRAM(confirm, ({
		      args[0] = (__u64)object + OBJECT_SKB;
		      args[1] = NF_ACCEPT;
		      after_confirm(args);
	      }))
TIMED_PROGRAM(end, ({
		      args[0] = (__u64)object + OBJECT_CT;
		      before_destroy(args);
	      }))

#endif
