/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * What every hook does once it has a connection in its hands: keep the NAT table, tell the pump.
 * Hooks call saw_ct() and ct_ended(); all else serves these and the sweep.
 *
 * One body of code serves both families. `words` is how many 32-bit words an address takes, a
 * constant wherever this is inlined.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "events.h"
#include "flow_table.h"
#include "losses.h"
#include "nf_conn.h"
#include "sextant_record.h"

/* Ids stay exact in JSON readers that have only doubles. */
#define CT_ID_MASK ((1ULL << 53) - 1)

/*
 * Key: original tuple, zone, namespace. Value: the connection. Written by programs as connections
 * come and go, and by user space when it loads what was there before; read by `conntrack --get`
 * through the pin. When full, a new connection is neither kept nor told of, and counted as
 * table_full: an LRU map would drop a live one without a word.
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

const volatile __u64 ct_id_secret;
const volatile bool nat_only;
/* Without a sweep nobody comes back to what the full ring buffer could not take. */
const volatile bool can_sweep;
/*
 * Has a table, IPv4's or IPv6's, got a connection since the last sweep? Tells the sweep of an
 * empty table, which on an idle machine is its usual state, that there is nothing to walk for.
 */
volatile __u32 table_grew[2];

static __always_inline int family_of(const int words)
{
	return words == V4_WORDS ? 0 : 1;
}

/* Reads before it writes, to leave the word in every CPU's cache. */
static __always_inline void note_growth(const int words)
{
	if (!table_grew[family_of(words)])
		table_grew[family_of(words)] = 1;
}

static __always_inline void *table_of(const int words)
{
	return words == V4_WORDS ? (void *)&flows4 : (void *)&flows6;
}

static __always_inline bool same_address(const __be32 *a, const __be32 *b, const int words)
{
	if (words == V4_WORDS)
		return a[0] == b[0];
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* The one place that makes a key; crates/conntrack/src/table/key.rs is its twin. */
static __always_inline void put_key(struct flow6_key *key, const struct ct_view *view,
				    const int words)
{
	key->netns_ino = view->netns_ino;
	key->zone = view->zone;
	key->proto = view->orig->proto;
	key->pad0 = 0;
	key->sport = view->orig->sport;
	key->dport = view->orig->dport;
	copy_address(key->addrs, view->orig->src, words);
	copy_address(key->addrs + words, view->orig->dst, words);
}

/*
 * Without NAT the reply tuple mirrors the original one. The tuples are compared, not the status
 * bits, which also stand on connections that a rule left as they were.
 */
static __always_inline __u8 nat_of(const struct ct_view *view, const int words)
{
	const struct ct_tuple *orig = view->orig, *reply = view->reply;
	/* ICMP has an id and a type in the place of ports, which differ by nature. */
	bool ports = orig->proto != IPPROTO_ICMP && orig->proto != IPPROTO_ICMPV6;
	__u8 nat = 0;

	if (!same_address(orig->src, reply->dst, words) || (ports && orig->sport != reply->dport))
		nat |= SEXTANT_SNAT;
	if (!same_address(orig->dst, reply->src, words) || (ports && orig->dport != reply->sport))
		nat |= SEXTANT_DNAT;
	return nat;
}

/* Pointers are reused, and must not leave the kernel: the time makes it unique, the secret blind.
 */
static __always_inline __u64 ct_id_of(__u64 ct, __u64 now_ns)
{
	__u64 mixed = (ct ^ ct_id_secret) + now_ns * 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ULL;
	mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ULL;
	return (mixed ^ (mixed >> 32)) & CT_ID_MASK;
}

static __always_inline void put_flow(struct flow6 *flow, __u64 ct, const struct ct_view *view,
				     const int words)
{
	flow->ct = ct;
	flow->first_seen_ns = bpf_ktime_get_ns();
	flow->ct_id = ct_id_of(ct, flow->first_seen_ns);
	flow->status = view->status;
	flow->mark = view->mark;
	flow->reply_sport = view->reply->sport;
	flow->reply_dport = view->reply->dport;
	flow->nat = nat_of(view, words);
	flow->flags = 0;
	flow->known = layout_known | SEXTANT_KNOWN_STATUS;
	flow->pad0 = 0;
	copy_address(flow->reply_addrs, view->reply->src, words);
	copy_address(flow->reply_addrs + words, view->reply->dst, words);
}

/* Tells of a beginning; false if the ring buffer is full. */
static __always_inline bool announce(const struct flow6_key *key, const struct flow6 *flow,
				     const int words)
{
	struct sextant_record *record = bpf_ringbuf_reserve(&events, EVENT_BYTES, 0);

	if (!record)
		return false;
	put_record(record, SEXTANT_NEW, flow->first_seen_ns, key, flow, words);
	bpf_ringbuf_submit(record, wakeup());
	return true;
}

/*
 * Tells of an end and removes the entry; false, and nothing is changed, if the ring buffer is
 * full. The removal comes first and decides who tells, should two programs notice the same end.
 */
static __always_inline bool conclude(const struct flow6_key *key, const struct flow6 *flow,
				     const int words)
{
	struct sextant_record *record = bpf_ringbuf_reserve(&events, EVENT_BYTES, 0);

	if (!record)
		return false;
	put_record(record, SEXTANT_DESTROY, bpf_ktime_get_ns(), key, flow, words);
	if (bpf_map_delete_elem(table_of(words), key))
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(record, wakeup());
	return true;
}

/* Removes an entry at once, told or not: its tuple is another's, or nobody will come back to it. */
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

/* Adds an entry and tells of it; false if the tuple has one already. */
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
 * Does the entry stand for this very connection? An nf_conn is reused at once when a new SYN
 * replaces a connection in TIME_WAIT, with the same tuple at the same address. But the kernel
 * never clears SEEN_REPLY: who had it and has it no more is somebody else. The status is read
 * again, for the entry may know of a reply that came after we first read it.
 */
static __always_inline bool is_same(const struct flow6 *was, __u64 ct, __u32 status)
{
	if (was->ct && was->ct != ct)
		return false;
	if ((was->status & ~status) & IPS_SEEN_REPLY)
		return read_status(ct) & IPS_SEEN_REPLY;
	return true;
}

/*
 * Adding without looking first saves a new connection, which touches memory that nobody has in
 * his cache, a third of the cost. An answer belongs to a known one as a rule: look first.
 */
static __always_inline void saw_flow(__u64 ct, const struct ct_view *view, bool is_answer,
				     const int words)
{
	struct flow6 flow, *was = NULL;
	struct flow6_key key;

	put_key(&key, view, words);
	put_flow(&flow, ct, view, words);
	if (nat_only && !flow.nat)
		return;
	if (is_answer)
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

/* A connection that may be new: puts it into the table and tells of it, unless it is there. */
static __always_inline void saw_ct(__u64 ct, bool is_answer)
{
	__u64 window[WINDOW_MAX / sizeof(__u64)];
	struct ct_view view;

	if (read_ct(ct, window, &view))
		count_loss(SEXTANT_LOSS_READ_FAULT);
	else if (view.orig->l3num == SEXTANT_IPV4)
		saw_flow(ct, &view, is_answer, V4_WORDS);
	else if (view.orig->l3num == SEXTANT_IPV6)
		saw_flow(ct, &view, is_answer, V6_WORDS);
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

/* The end of an nf_conn, whose memory still holds what it was: tells of it if it is ours. */
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
