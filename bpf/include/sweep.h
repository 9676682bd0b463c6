/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Walks the table and reports the connections that have ended, and those that found the ring
 * buffer full when they began.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <linux/bpf.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "emission.h"
#include "flow_table.h"
#include "identity.h"
#include "nf_conn.h"
#include "sextant_record.h"

/* What one sweep found. */
struct sweep_result {
	__u32 kept[2]; /* live entries of each table whose nf_conn is known */
	__u32 ended;
	__u32 stuck; /* the ring buffer was full: sweep again */
};
struct sweep_result sweep_result;

/*
 * Is the entry's connection still alive? The slab of nf_conn is SLAB_TYPESAFE_BY_RCU: a freed
 * object keeps its layout until it serves another connection, and a page that was reused for
 * something else will hardly hold our key. So the memory at flow->ct can always be read and decides
 * it.
 */
static __always_inline bool is_alive(struct flow6 *flow, const struct flow6_key *key,
				     const int words)
{
	__u64 window[WINDOW_MAX / sizeof(__u64)];
	struct flow6_key now;
	struct ct_view view;

	if (read_ct(flow->ct, window, &view))
		return false;
	if (!(view.status & IPS_CONFIRMED) || (view.status & IPS_DYING))
		return false;
	if (view.orig->l3num != (words == V4_WORDS ? SEXTANT_IPV4 : SEXTANT_IPV6))
		return false;
	put_key(&now, &view, words);
	if (!same_key(&now, key, words) || lost_reply(flow, view.status))
		return false;
	flow->status = view.status;
	flow->mark = view.mark;
	return true;
}

/* Checks one entry; 1 ends the sweep. */
static __always_inline long sweep_flow(const struct flow6_key *key, struct flow6 *flow,
				       const int words)
{
	if (!flow->ct)
		return 0; /* from a dump; its nf_conn is not known */
	if (flow->flags & FLOW_UNANNOUNCED) {
		if (!announce(key, flow, words))
			goto stuck;
		flow->flags &= ~FLOW_UNANNOUNCED;
	}
	if (is_alive(flow, key, words)) {
		sweep_result.kept[family_of(words)]++;
		return 0;
	}
	if (!conclude(key, flow, words))
		goto stuck;
	sweep_result.ended++;
	return 0;
stuck:
	sweep_result.stuck = 1;
	return 1;
}

static long sweep_flow4(void *map, const void *key, void *flow, void *unused)
{
	return sweep_flow(key, flow, V4_WORDS);
}

static long sweep_flow6(void *map, const void *key, void *flow, void *unused)
{
	return sweep_flow(key, flow, V6_WORDS);
}

/* Does this table have entries to check? */
static __always_inline bool needs_sweep(const int words)
{
	int family = family_of(words);
	bool grew = table_grew[family];

	table_grew[family] = 0;
	return grew || sweep_result.kept[family] || sweep_result.stuck;
}

/* Checks every entry of both tables once. */
static __always_inline void sweep_tables(void)
{
	bool v4 = needs_sweep(V4_WORDS), v6 = needs_sweep(V6_WORDS);

	__builtin_memset(&sweep_result, 0, sizeof(sweep_result));
	if (v4)
		bpf_for_each_map_elem(&flows4, sweep_flow4, NULL, 0);
	if (v6)
		bpf_for_each_map_elem(&flows6, sweep_flow6, NULL, 0);
}

#endif
