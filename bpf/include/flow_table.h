/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The NAT table: its two maps, which of them has grown since the last sweep, and who may end an
 * entry.
 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "flow_entry.h"

/*
 * Key: original tuple, zone, namespace. Value: the connection. Written by programs as connections
 * come and go, and by user space when it loads existing ones; read by `conntrack --get` through
 * the pin. When full, a new connection is neither kept nor reported, and counted as table_full: an
 * LRU map would evict a live one silently.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* user space sets it */
	__type(key, struct flow4_key);
	__type(value, struct flow4);
} flows4 SEC(".maps");

/* The same for IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow6_key);
	__type(value, struct flow6);
} flows6 SEC(".maps");

/*
 * Key: id of a connection. Value: nothing. Whoever adds an id, and then still finds the entry, is
 * the only one that may report its end, replace it or remove it: an entry is removed by its key,
 * and without a claim that could be its successor's. Entries are as many as programs run at once. A
 * map, because 5.10 has no atomic operation that returns a value.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} claims SEC(".maps");

/*
 * Has a table, IPv4's or IPv6's, got a connection since the last sweep? If not and it was empty
 * then, as on an idle machine, the sweep need not walk it.
 */
volatile __u32 table_grew[2];

static __always_inline int family_of(const int words)
{
	return words == V4_WORDS ? 0 : 1;
}

/* Reads before it writes, so that the word stays in every CPU's cache. */
static __always_inline void note_growth(const int words)
{
	if (!table_grew[family_of(words)])
		table_grew[family_of(words)] = 1;
}

static __always_inline void *table_of(const int words)
{
	return words == V4_WORDS ? (void *)&flows4 : (void *)&flows6;
}

/*
 * Which connection an entry is of now. The kernel gives the memory of a removed entry to another at
 * once, so read this first, then what you decide by, and claim() this id: it fails if the entry has
 * changed hands meanwhile.
 */
static __always_inline __u64 id_of(const struct flow6 *flow)
{
	return *(const volatile __u64 *)&flow->ct_id;
}

/*
 * How often an operation is tried again that the kernel refuses because an interrupt found the
 * bucket's lock half taken (-EBUSY, from 5.11 until 6.7).
 */
#define BUSY_ATTEMPTS 3

static __always_inline void release(__u64 id)
{
	for (int i = 0; i < BUSY_ATTEMPTS; i++)
		if ((int)bpf_map_delete_elem(&claims, &id) != -EBUSY)
			return;
}

/* Removes an entry that the caller has claimed and reported. */
static __always_inline void remove_entry(const struct flow6_key *key, struct flow6 *flow,
					 const int words)
{
	flow->flags |= FLOW_REPORTED;
	for (int i = 0; i < BUSY_ATTEMPTS; i++)
		if (!(int)bpf_map_delete_elem(table_of(words), key))
			return;
	note_growth(words); /* for the next sweep */
}

/* The entry of this connection, which is now ours to end; NULL if another program ends it. */
static __always_inline struct flow6 *claim(const struct flow6_key *key, __u64 id, const int words)
{
	struct flow6 *flow;
	__u8 nothing = 0;

	if (bpf_map_update_elem(&claims, &id, &nothing, BPF_NOEXIST))
		return NULL;
	flow = bpf_map_lookup_elem(table_of(words), key);
	if (flow && flow->ct_id == id)
		return flow;
	release(id);
	return NULL;
}

#endif
