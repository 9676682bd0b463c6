/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Compares entries of the table with the nf_conn they came from, and reports the connections that
 * have ended and those that found the ring buffer full: all entries, or one, for --get and for user
 * space on kernels that cannot walk a map (before 5.13).
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

/* What a check of one entry found. */
enum checked {
	CHECKED_NONE = 0,    /* no such entry */
	CHECKED_ALIVE = 1,   /* its status and mark are those of now */
	CHECKED_ENDED = 2,   /* reported and removed */
	CHECKED_UNKNOWN = 3, /* it came from a dump, and its nf_conn is not known */
	CHECKED_STUCK = 4,   /* it has ended or was not announced, and the ring buffer is full */
};

/*
 * Is the entry's connection still alive? Takes status, mark and expiry over if it is; else `ending`
 * is what its memory says of the end.
 *
 * The slab of nf_conn is SLAB_TYPESAFE_BY_RCU: a freed object keeps its layout and its contents
 * until it serves another connection, and a page that was reused for something else will hardly
 * hold our tuples. So the memory can always be read and decides it.
 */
static __noinline bool is_alive(struct flow6 *flow, const struct flow6_key *key,
				struct ending *ending, const int words)
{
	const struct sight looking = {};
	__u64 id = id_of(flow);
	struct flow6_key key_now;
	struct flow6 now;

	ending->ts_ns = bpf_ktime_get_ns();
	ending->is_known = flow->flags & FLOW_ENDED;
	ending->status = flow->status;
	ending->mark = flow->mark;
	if (flow->flags & (FLOW_ENDED | FLOW_REPORTED))
		return false;
	if (read_flow(reveal(flow->ct), &key_now, &now) !=
	    (words == V4_WORDS ? FOUND_IPV4 : FOUND_IPV6))
		return false;
	/* Not expired: until the kernel removes it, it lives, and a packet decides. */
	if (!same_key(&key_now, key, words) ||
	    !is_same(flow, reveal(flow->ct), &now, &looking, words))
		return false;
	ending->status = now.status;
	ending->mark = now.mark;
	if (now.status & IPS_DYING) {
		ending->is_known = true;
		return false;
	}
	if (id_of(flow) == id) {
		flow->status = now.status;
		flow->mark = now.mark;
		flow->expires_jiffies = now.expires_jiffies;
	}
	return true;
}

/* Ends a claimed entry; false if the ring buffer is full. */
static __always_inline bool end_claimed(const struct flow6_key *key, struct flow6 *flow,
					const struct ending *ending, const int words)
{
	bool is_done = report_end(key, flow, ending, words);

	if (is_done)
		remove_entry(key, flow, words);
	else
		keep_ending(flow, ending);
	return is_done;
}

/*
 * Reports what the entry with this id still has to report. It is judged again, because only under
 * the claim it cannot change hands while it is judged. `ending` is the caller's, because the
 * stack of a sweep has 512 bytes for all its functions, and uses them.
 */
static __always_inline enum checked settle(const struct flow6_key *key, __u64 id,
					   struct ending *ending, const int words)
{
	struct flow6 *flow = claim(key, id, words);
	enum checked found = CHECKED_ENDED;

	if (!flow)
		return CHECKED_ALIVE; /* another program is at it; the next sweep looks again */
	if (!is_alive(flow, key, ending, words)) {
		if (!end_claimed(key, flow, ending, words))
			found = CHECKED_STUCK;
	} else if (!(flow->flags & FLOW_UNANNOUNCED)) {
		found = CHECKED_ALIVE;
	} else if (report_beginning(key, flow, words)) {
		flow->flags &= ~FLOW_UNANNOUNCED;
		found = CHECKED_ALIVE;
	} else {
		found = CHECKED_STUCK;
	}
	release(id);
	return found;
}

static __always_inline enum checked check_flow(const struct flow6_key *key, struct flow6 *flow,
					       const int words)
{
	__u64 id = id_of(flow);
	struct ending ending;

	if (!flow->ct && !(flow->flags & FLOW_REPORTED))
		return CHECKED_UNKNOWN;
	if (is_alive(flow, key, &ending, words) && !(flow->flags & FLOW_UNANNOUNCED))
		return CHECKED_ALIVE;
	return settle(key, id, &ending, words);
}

/* Checks one entry; 1 ends the sweep. */
static __always_inline long sweep_flow(const struct flow6_key *key, struct flow6 *flow,
				       const int words)
{
	switch (check_flow(key, flow, words)) {
	case CHECKED_ALIVE:
		sweep_result.kept[family_of(words)]++;
		return 0;
	case CHECKED_ENDED:
		sweep_result.ended++;
		return 0;
	case CHECKED_STUCK:
		sweep_result.stuck = 1;
		return 1;
	default:
		return 0;
	}
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

/* Checks the entry of one connection. */
static __always_inline enum checked check(const struct flow6_key *key, const int words)
{
	struct flow6 *flow = bpf_map_lookup_elem(table_of(words), key);

	return flow ? check_flow(key, flow, words) : CHECKED_NONE;
}

/*
 * Ends the connection with this id, which came from a dump and is in a later one no more. If its
 * nf_conn has become known, that says more than a dump, unless the dump had another connection with
 * its tuple: `is_replaced`.
 */
static __always_inline enum checked end_loaded(const struct flow6_key *key, __u64 id,
					       bool is_replaced, const int words)
{
	struct flow6 *flow = claim(key, id, words);
	struct ending ending = {.ts_ns = bpf_ktime_get_ns()};
	enum checked found = CHECKED_ALIVE;

	if (!flow)
		return CHECKED_NONE;
	if (!flow->ct || is_replaced)
		found = end_claimed(key, flow, &ending, words) ? CHECKED_ENDED : CHECKED_STUCK;
	release(id);
	return found;
}

#endif
