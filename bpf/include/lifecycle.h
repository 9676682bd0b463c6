/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a hook does when it sees a connection begin (saw_ct) or end (ct_ended): keeps the table and
 * reports the change.
 */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "emission.h"
#include "flow_table.h"
#include "identity.h"
#include "losses.h"
#include "nf_conn.h"
#include "sextant_record.h"

const volatile bool nat_only;
/* Without a sweep, what the full ring buffer did not take is never reported later. */
const volatile bool can_sweep;

/* Removes an entry at once, reported or not: its tuple is reused, or no sweep will report it. */
static __always_inline void make_room(const struct flow6_key *key, const struct flow6 *was,
				      const int words)
{
	if ((was->flags & FLOW_UNANNOUNCED) && !announce(key, was, words))
		count_loss(SEXTANT_LOSS_RINGBUF_FULL);
	if (conclude(key, was, words))
		return;
	count_loss(SEXTANT_LOSS_RINGBUF_FULL);
	bpf_map_delete_elem(table_of(words), key);
}

/* Adds an entry and reports it; false if the tuple has one already. */
static __always_inline bool begin(const struct flow6_key *key, const struct flow6 *flow,
				  const int words)
{
	long err = bpf_map_update_elem(table_of(words), key, flow, BPF_NOEXIST);
	struct flow6 *kept;

	if (err == -EEXIST)
		return false;
	if (err) {
		count_loss(SEXTANT_LOSS_TABLE_FULL);
		return true;
	}
	note_growth(words);
	if (announce(key, flow, words))
		return true;
	if (!can_sweep) {
		count_loss(SEXTANT_LOSS_RINGBUF_FULL);
		return true;
	}
	kept = bpf_map_lookup_elem(table_of(words), key);
	if (kept)
		kept->flags |= FLOW_UNANNOUNCED;
	return true;
}

/*
 * For a new connection, adding without a lookup saves a third of the cost, because its memory is in
 * no cache. A reply usually belongs to a known connection: look it up first.
 */
static __always_inline void saw_flow(__u64 ct, const struct ct_view *view, bool is_reply,
				     const int words)
{
	struct flow6 flow, *was = NULL;
	struct flow6_key key;

	put_key(&key, view, words);
	put_flow(&flow, ct, view, words);
	if (nat_only && !flow.nat)
		return;
	if (is_reply)
		was = bpf_map_lookup_elem(table_of(words), &key);
	if (!was) {
		if (begin(&key, &flow, words))
			return;
		was = bpf_map_lookup_elem(table_of(words), &key);
	}
	if (was && is_same(was, ct, view->status)) {
		if (!was->ct) {
			was->ct = ct;
			note_growth(words);
		}
		if (was->status != view->status)
			was->status = view->status;
		return;
	}
	if (was)
		make_room(&key, was, words);
	begin(&key, &flow, words);
}

/* A connection that may be new: adds it to the table and reports it, unless it is there. */
static __always_inline void saw_ct(__u64 ct, bool is_reply)
{
	__u64 window[WINDOW_MAX / sizeof(__u64)];
	struct ct_view view;

	if (read_ct(ct, window, &view))
		count_loss(SEXTANT_LOSS_READ_FAULT);
	else if (view.orig->l3num == SEXTANT_IPV4)
		saw_flow(ct, &view, is_reply, V4_WORDS);
	else if (view.orig->l3num == SEXTANT_IPV6)
		saw_flow(ct, &view, is_reply, V6_WORDS);
	else
		count_loss(SEXTANT_LOSS_UNKNOWN_FAMILY);
}

static __always_inline void end_flow(__u64 ct, const struct ct_view *view, const int words)
{
	struct flow6_key key;
	struct flow6 *flow;

	put_key(&key, view, words);
	flow = bpf_map_lookup_elem(table_of(words), &key);
	if (!flow || flow->ct != ct)
		return;
	if (can_sweep)
		conclude(&key, flow, words);
	else
		make_room(&key, flow, words);
}

/* The end of an nf_conn, whose memory is still intact: reports it if the table has it. */
static __always_inline void ct_ended(__u64 ct)
{
	__u64 window[WINDOW_MAX / sizeof(__u64)];
	struct ct_view view;

	if (read_ct(ct, window, &view))
		count_loss(SEXTANT_LOSS_READ_FAULT);
	else if (view.orig->l3num == SEXTANT_IPV4)
		end_flow(ct, &view, V4_WORDS);
	else if (view.orig->l3num == SEXTANT_IPV6)
		end_flow(ct, &view, V6_WORDS);
}

#endif
