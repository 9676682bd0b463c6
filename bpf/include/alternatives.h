/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What conntrack could do for a connection instead of what it does, as operations that timing.h
 * times: the figures of docs/decisions/2026-11-28-identity.md. Part of lifecycle.bpf.c.
 */
#ifndef ALTERNATIVES_H
#define ALTERNATIVES_H

#include "lifecycle.h"
#include "timed_objects.h"

/* The original tuple and the reply's, as a table under both has them. */
struct long_key {
	struct flow4_key orig;
	__be32 reply_addrs[2];
	__be16 reply_sport;
	__be16 reply_dport;
	__u32 pad0;
};

struct long_flow {
	__u64 ct;
	__u64 ct_id;
	__u64 first_seen_ns;
	__u32 status;
	__u32 mark;
	__u32 expires_jiffies;
	__u32 flags;
};

/* An entry under its nf_conn needs the key of the tuple as well, to report the end. */
struct flow_by_ct {
	struct flow4_key key;
	struct flow4 flow;
};

#define TIMED_TABLE(name, key_type, value_type)  \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, 1);          \
		__type(key, key_type);           \
		__type(value, value_type);       \
	} name SEC(".maps")

/* Written and read by the programs here only; full: the update fails, and `failures` counts it. */
TIMED_TABLE(by_tuple, struct flow4_key, struct flow4);
TIMED_TABLE(by_ct, __u64, struct flow_by_ct);
TIMED_TABLE(ct_of_tuple, struct flow4_key, __u64);
TIMED_TABLE(by_both, struct long_key, struct long_flow);

/* What an operation works on: as read_flow() leaves it, without the cost of that. */
struct subject {
	struct flow6_key key;
	struct flow6 flow;
};

static __always_inline void take_subject(const struct object *object, struct subject *subject)
{
	const __u64 *ct = object->words + OBJECT_CT / 8;
	const struct ct_tuple *orig = (const void *)(ct + 5), *reply = (const void *)(ct + 12);

	__builtin_memset(subject, 0, sizeof(*subject));
	subject->key.netns_ino = 1;
	subject->key.proto = orig->proto;
	subject->key.sport = orig->sport;
	subject->key.dport = orig->dport;
	subject->key.addrs[0] = orig->src[0];
	subject->key.addrs[1] = orig->dst[0];
	/* From memory, as a number: the verifier forbids arithmetic on a pointer. */
	subject->flow.ct = hide(object->words[OBJECT_SKB / 8] & ~7ULL);
	subject->flow.reply_sport = reply->sport;
	subject->flow.reply_dport = reply->dport;
	subject->flow.reply_addrs[0] = reply->src[0];
	subject->flow.reply_addrs[1] = reply->dst[0];
}

static __always_inline void note(long err)
{
	if (err)
		failures++;
}

static __always_inline void put_long_key(struct long_key *key, const struct subject *subject)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(&key->orig, &subject->key, sizeof(key->orig));
	key->reply_addrs[0] = subject->flow.reply_addrs[0];
	key->reply_addrs[1] = subject->flow.reply_addrs[1];
	key->reply_sport = subject->flow.reply_sport;
	key->reply_dport = subject->flow.reply_dport;
}

static __always_inline void put_by_ct(const struct subject *subject)
{
	struct flow_by_ct value;

	__builtin_memcpy(&value.key, &subject->key, sizeof(value.key));
	__builtin_memcpy(&value.flow, &subject->flow, sizeof(value.flow));
	note(bpf_map_update_elem(&by_ct, &subject->flow.ct, &value, BPF_NOEXIST));
}

/* ---- operations ----------------------------------------------------------------------------- */

#define OPERATION(name) static __always_inline void name(struct subject *subject)

OPERATION(op_nothing)
{
	sum += subject->flow.ct;
}

OPERATION(op_add_by_tuple)
{
	note(bpf_map_update_elem(&by_tuple, &subject->key, &subject->flow, BPF_NOEXIST));
}

OPERATION(op_find_then_add_by_tuple)
{
	if (bpf_map_lookup_elem(&by_tuple, &subject->key))
		failures++;
	else
		op_add_by_tuple(subject);
}

OPERATION(op_add_by_ct)
{
	put_by_ct(subject);
}

OPERATION(op_add_by_ct_and_index)
{
	put_by_ct(subject);
	note(bpf_map_update_elem(&ct_of_tuple, &subject->key, &subject->flow.ct, BPF_ANY));
}

OPERATION(op_add_by_both)
{
	struct long_key key;
	struct long_flow flow = {.ct = subject->flow.ct};

	put_long_key(&key, subject);
	note(bpf_map_update_elem(&by_both, &key, &flow, BPF_NOEXIST));
}

/* A repeated packet that is taken for a first one: the table refuses to add it. */
OPERATION(op_readd_by_tuple)
{
	struct flow4 *flow;

	if (!bpf_map_update_elem(&by_tuple, &subject->key, &subject->flow, BPF_NOEXIST))
		failures++;
	flow = bpf_map_lookup_elem(&by_tuple, &subject->key);
	if (flow)
		sum += flow->status;
}

OPERATION(op_find_by_tuple)
{
	struct flow4 *flow = bpf_map_lookup_elem(&by_tuple, &subject->key);

	if (flow)
		sum += flow->status;
	else
		failures++;
}

OPERATION(op_find_by_ct)
{
	struct flow_by_ct *found = bpf_map_lookup_elem(&by_ct, &subject->flow.ct);

	if (found)
		sum += found->flow.status;
	else
		failures++;
}

OPERATION(op_find_by_both)
{
	struct long_flow *flow;
	struct long_key key;

	put_long_key(&key, subject);
	flow = bpf_map_lookup_elem(&by_both, &key);
	if (flow)
		sum += flow->status;
	else
		failures++;
}

OPERATION(op_remove_by_tuple)
{
	op_find_by_tuple(subject);
	note(bpf_map_delete_elem(&by_tuple, &subject->key));
}

/* As claim() and release() do it. */
OPERATION(op_claim_and_remove_by_tuple)
{
	__u8 nothing = 0;

	op_find_by_tuple(subject);
	note(bpf_map_update_elem(&claims, &subject->flow.ct, &nothing, BPF_NOEXIST));
	op_remove_by_tuple(subject);
	note(bpf_map_delete_elem(&claims, &subject->flow.ct));
}

OPERATION(op_remove_by_ct)
{
	op_find_by_ct(subject);
	note(bpf_map_delete_elem(&by_ct, &subject->flow.ct));
}

OPERATION(op_remove_by_ct_and_index)
{
	op_remove_by_ct(subject);
	note(bpf_map_delete_elem(&ct_of_tuple, &subject->key));
}

OPERATION(op_remove_by_both)
{
	struct long_key key;

	op_find_by_both(subject);
	put_long_key(&key, subject);
	note(bpf_map_delete_elem(&by_both, &key));
}

OPERATION(op_id_from_counter)
{
	sum += draw_id(LANE_USER);
}

/* The time and the address of the nf_conn, mixed. */
OPERATION(op_id_from_time)
{
	__u64 mixed = bpf_ktime_get_ns() ^ subject->flow.ct;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
	sum += (mixed ^ mixed >> 31) & CT_ID_MASK;
}

#endif
