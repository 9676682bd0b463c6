/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Fake connections for timing.h, many of them, with random addresses and ports. Part of
 * lifecycle.bpf.c.
 */
#ifndef TIMED_OBJECTS_H
#define TIMED_OBJECTS_H

#include "lifecycle.h"

/* Offsets in an object of `objects`: a net and an sk_buff before the nf_conn. */
#define OBJECT_NET 0
#define OBJECT_SKB 16
#define OBJECT_CT  64

struct object {
	__u64 words[32];
};

/* Key: number. Value: a fake connection, made by `make_objects`. One entry unless times are taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct object);
} objects SEC(".maps");

/* What one run found. */
__u64 timed_ns;
__u64 failures;
__u64 sum; /* so that no read is left out */

static __always_inline struct object *object_at(__u32 number)
{
	return bpf_map_lookup_elem(&objects, &number);
}

static long make_object(__u64 i, __u64 *info)
{
	struct object *object = object_at(i);
	__u64 *ct;
	struct ct_tuple *orig, *reply;
	volatile __u64 *nfct;

	if (!object)
		return 1;
	nfct = object->words + OBJECT_SKB / 8;
	ct = object->words + OBJECT_CT / 8;
	orig = (void *)(ct + 5);
	reply = (void *)(ct + 12);
	__builtin_memset(object, 0, sizeof(*object));
	object->words[OBJECT_NET / 8] = 1;
	/* Read again as a number: the verifier forbids arithmetic on a pointer. */
	*nfct = (__u64)ct;
	*nfct |= *info;
	orig->l3num = SEXTANT_IPV4;
	orig->proto = IPPROTO_UDP;
	orig->src[0] = bpf_get_prandom_u32();
	orig->dst[0] = bpf_get_prandom_u32();
	orig->sport = bpf_get_prandom_u32();
	orig->dport = bpf_get_prandom_u32();
	/* Translated, as behind a virtual address. */
	reply->src[0] = bpf_get_prandom_u32();
	reply->sport = orig->dport;
	reply->dst[0] = orig->src[0];
	reply->dport = orig->sport;
	ct[17] = IPS_CONFIRMED;
	ct[18] = (__u64)object + OBJECT_NET;
	return 0;
}

/* Makes args[0] connections, whose packets have the state args[1]. */
SEC("raw_tp")
int make_objects(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 info = ctx->args[1];

	bpf_loop(ctx->args[0], make_object, &info, 0);
	return 0;
}

static long set_info(__u64 i, __u64 *info)
{
	struct object *object = object_at(i);

	if (!object)
		return 1;
	object->words[OBJECT_SKB / 8] = (object->words[OBJECT_SKB / 8] & ~7ULL) | *info;
	return 0;
}

/* Their packets now have the state args[1]. */
SEC("raw_tp")
int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 info = ctx->args[1];

	bpf_loop(ctx->args[0], set_info, &info, 0);
	return 0;
}

#endif
