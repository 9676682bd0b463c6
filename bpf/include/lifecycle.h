/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a hook does when it sees a connection begin (saw_ct) or end (ct_ended): keeps the table and
 * reports the change.
 */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "emission.h"
#include "flow_table.h"
#include "identity.h"
#include "losses.h"
#include "nf_conn.h"
#include "overflow.h"
#include "recent.h"
#include "sextant_record.h"

const volatile bool nat_only;

/* So many lookups a beginning waits for the program that ends its tuple's predecessor. */
#define AWAITED_LOOKUPS 64

/* The full ring buffer did not take the end, and perhaps not the beginning. */
static __always_inline void count_unreported(const struct flow6 *flow)
{
	count_losses(SEXTANT_LOSS_RINGBUF_FULL, flow->flags & FLOW_UNANNOUNCED ? 2 : 1);
}

/*
 * Puts an entry into the table for which the ring buffer has no room. Errors are ints: before 6.4,
 * where the call goes straight to the map's own function, the upper half of what it returns is not
 * set.
 */
static __noinline int put_unreported(const struct flow6_key *key, struct flow6 *flow, __u64 mode,
				     const int words)
{
	int err;

	flow->flags = FLOW_UNANNOUNCED;
	err = bpf_map_update_elem(table_of(words), key, flow, mode);
	if (!err)
		note_growth(words);
	return err;
}

/*
 * Puts an entry into the table and reports it; `mode` as of bpf_map_update_elem. Room for the
 * record comes first, so that no other program ever finds an entry that is neither reported nor
 * marked.
 */
static __always_inline int put_entry(const struct flow6_key *key, struct flow6 *flow, __u64 mode,
				     __u32 lane, const int words)
{
	struct sextant_record *record;
	int err;

	flow->ct_id = draw_id(lane);
	flow->flags = 0;
	record = reserve_record();
	/* Two paths that share nothing: older verifiers lose track of the record else. */
	if (!record)
		return put_unreported(key, flow, mode, words);
	err = bpf_map_update_elem(table_of(words), key, flow, mode);
	if (err) {
		discard_record(record);
		return err;
	}
	submit_beginning(record, key, flow, words);
	note_growth(words);
	return 0;
}

/* The end of an entry's connection as its nf_conn shows it, if that still serves no other. */
static __always_inline void read_ending(const struct flow6_key *key, const struct flow6 *flow,
					const struct flow6 *successor, struct ending *ending,
					const int words)
{
	__u64 ct = reveal(flow->ct);

	ending->ts_ns = successor->first_seen_ns;
	ending->is_known = flow->flags & FLOW_ENDED;
	ending->status = flow->status;
	ending->mark = flow->mark;
	if (ending->is_known || !flow->ct || flow->ct == successor->ct)
		return;
	ending->status = read_status(ct);
	if (!(ending->status & IPS_DYING) || read_mark(ct, &ending->mark))
		return;
	/* Checked after the reading: it was its memory all the while. */
	ending->is_known = still_serves(key, flow, words) && read_status(ct) & IPS_DYING;
}

/*
 * Replaces the entry of a connection that has ended, which has this id, by that of its successor;
 * false if another program ends it right now.
 */
static __noinline bool succeed(const struct flow6_key *key, __u64 id, struct flow6 *flow,
			       __u32 lane, const int words)
{
	struct flow6 *was = claim(key, id, words);
	struct ending ending;
	int err;

	if (!was)
		return false;
	read_ending(key, was, flow, &ending, words);
	if (!report_end(key, was, &ending, words))
		count_unreported(was);
	err = put_entry(key, flow, BPF_EXIST, lane, words);
	if (err) {
		remove_entry(key, was, words);
		count_refused(key, flow, err, words);
	}
	release(id);
	return true;
}

/* Waits a moment, about two microseconds, for another program to end the entry with this id. */
static __noinline int await_end(const struct flow6_key *key, __u64 id, const int words)
{
	for (int i = 0; i < AWAITED_LOOKUPS; i++) {
		const struct flow6 *flow = bpf_map_lookup_elem(table_of(words), key);

		if (!flow || id_of(flow) != id)
			break;
	}
	return 0;
}

/* An entry's own connection was seen again. */
static __always_inline void refresh_entry(struct flow6 *was, const struct flow6 *now,
					  const int words)
{
	if (!was->ct) {
		was->ct = now->ct;
		note_growth(words);
	}
	if (was->status != now->status)
		was->status = now->status;
	if (was->mark != now->mark)
		was->mark = now->mark;
	if (was->expires_jiffies != now->expires_jiffies)
		was->expires_jiffies = now->expires_jiffies;
}

/* The end of saw_flow(), when what was in its way should be gone: adds the entry, or counts. */
static __always_inline void begin_at_last(__u64 ct, const struct flow6_key *key, struct flow6 *flow,
					  const struct sight *sight, const int words)
{
	int err = put_entry(key, flow, BPF_NOEXIST, sight->lane, words);
	const struct flow6 *was;

	if (!err)
		return;
	if (err != -EEXIST) {
		count_refused(key, flow, err, words);
		return;
	}
	/* Another packet of the same connection may have been faster. */
	was = bpf_map_lookup_elem(table_of(words), key);
	if (!was || !is_same(was, ct, flow, sight, words))
		count_loss(SEXTANT_LOSS_TUPLE_BUSY);
}

/*
 * For a new connection, adding without a lookup saves a third of the cost, because its memory is in
 * no cache. Not a loop: each round would multiply what the verifier has to follow.
 */
static __always_inline void saw_flow(__u64 ct, const struct flow6_key *key, struct flow6 *flow,
				     const struct sight *sight, const int words)
{
	struct flow6 *was = NULL;
	__u64 id;
	int err;

	if (nat_only && !flow->nat)
		return;
	if (sight->is_known)
		was = bpf_map_lookup_elem(table_of(words), key);
	if (!was) {
		/*
		 * A late packet of one that has ended, and whose end is reported. But a call from
		 * outside that is refused at once shows only in the refusal.
		 */
		if (flow->status & IPS_DYING && sight->lane == LANE_TRACEPOINT &&
		    (sight->opens || is_recent_tuple(ct, key, words)))
			return;
		if (may_be_counted() && was_counted(key, flow, sight->opens, words))
			return;
		err = put_entry(key, flow, BPF_NOEXIST, sight->lane, words);
		if (!err)
			return;
		if (err != -EEXIST && err != -EBUSY) {
			count_refused(key, flow, err, words);
			return;
		}
		was = bpf_map_lookup_elem(table_of(words), key);
	}
	if (was) {
		id = id_of(was);
		if (is_same(was, ct, flow, sight, words)) {
			if (id_of(was) == id)
				refresh_entry(was, flow, words);
			return;
		}
		if (is_late(key, was, flow, words) || succeed(key, id, flow, sight->lane, words))
			return;
		await_end(key, id, words);
	}
	begin_at_last(ct, key, flow, sight, words);
}

/* A connection, if the kernel has confirmed it: adds it to the table and reports it, unless it is
 * there. */
static __always_inline void saw_ct(__u64 ct, const struct sight *sight)
{
	struct flow6_key key;
	struct flow6 flow;

	switch (read_flow(ct, &key, &flow)) {
	case FOUND_IPV4:
		saw_flow(ct, &key, &flow, sight, V4_WORDS);
		if (sight->lane == LANE_TRACEPOINT)
			note_recent(ct, &key, sight->opens, V4_WORDS);
		break;
	case FOUND_IPV6:
		saw_flow(ct, &key, &flow, sight, V6_WORDS);
		if (sight->lane == LANE_TRACEPOINT)
			note_recent(ct, &key, sight->opens, V6_WORDS);
		break;
	case FOUND_UNREADABLE:
		count_loss(SEXTANT_LOSS_READ_FAULT);
		break;
	case FOUND_OTHER_FAMILY:
		count_loss(SEXTANT_LOSS_UNKNOWN_FAMILY);
		break;
	case FOUND_UNCONFIRMED:
		break;
	}
}

static __always_inline void end_flow(const struct flow6_key *key, const struct flow6 *last,
				     const int words)
{
	struct ending ending = {
		.ts_ns = bpf_ktime_get_ns(),
		.is_known = true,
		.status = last->status,
		.mark = last->mark,
	};
	struct flow6 *flow = bpf_map_lookup_elem(table_of(words), key);
	__u64 id;

	if (may_be_counted())
		forget_counted(key, last, words);
	if (!flow)
		return;
	id = id_of(flow);
	if (flow->ct != last->ct || !same_translation(flow, last, words))
		return;
	flow = claim(key, id, words);
	if (!flow)
		return;
	if (report_end(key, flow, &ending, words))
		remove_entry(key, flow, words);
	else
		keep_ending(flow, &ending);
	release(id);
}

/* The end of an nf_conn, whose memory is still intact: reports it if the table has it. */
static __always_inline void ct_ended(__u64 ct)
{
	struct flow6_key key;
	struct flow6 last;

	switch (read_flow(ct, &key, &last)) {
	case FOUND_IPV4:
		end_flow(&key, &last, V4_WORDS);
		break;
	case FOUND_IPV6:
		end_flow(&key, &last, V6_WORDS);
		break;
	case FOUND_UNREADABLE:
		count_loss(SEXTANT_LOSS_READ_FAULT);
		break;
	case FOUND_OTHER_FAMILY:
	case FOUND_UNCONFIRMED:
		break;
	}
}

#endif
