/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Which connection is it? Derives the key, the id and the entry of an nf_conn, and decides whether
 * an entry and an nf_conn are the same connection. Changes no entry and reports nothing.
 *
 * A connection is one incarnation of an nf_conn: the kernel reuses the memory, at once and often
 * for the same tuple. See docs/decisions/2026-11-28-identity.md.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "flow_entry.h"
#include "nf_conn.h"
#include "sextant_record.h"

/* Ids stay exact in JSON readers that have only doubles. */
#define CT_ID_MASK ((1ULL << 53) - 1)

/* Who draws an id, so that no two programs on a CPU count with the same number at once. */
enum id_lane {
	LANE_TRACEPOINT,
	LANE_CONFIRM,
	LANE_INSERT,
	/* User space: connections from dumps, and those of the netlink source. */
	LANE_USER,
	LANES,
};

/* Odd, and other in each run: multiplication permutes the numbers below 2^53. */
const volatile __u64 id_factor;
const volatile __u32 possible_cpus;
/* What hides a pointer in the pinned maps, and `hide_inverse` is the inverse of `hide_factor`. */
const volatile __u64 hide_mask;
const volatile __u64 hide_factor;
const volatile __u64 hide_inverse;

/*
 * Key: enum id_lane. Value: ids drawn on one CPU. A program never nests in itself, so the count
 * needs no atomic operation, which 5.10 does not have.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LANES);
	__type(key, __u32);
	__type(value, __u64);
} drawn_ids SEC(".maps");

/* An id that no other connection of this run has; FlowIds in flow_id.rs is its twin. */
static __always_inline __u64 draw_id(__u32 lane)
{
	__u64 *drawn = bpf_map_lookup_elem(&drawn_ids, &lane);
	__u64 number;

	if (!drawn)
		return 0;
	number = ++*drawn * (LANES * possible_cpus);
	number += lane * possible_cpus + bpf_get_smp_processor_id();
	return number * id_factor & CT_ID_MASK;
}

/* Entries need the nf_conn, but whoever may read the maps must not learn kernel addresses. */
static __always_inline __u64 hide(__u64 ct)
{
	ct = (ct ^ hide_mask) * hide_factor;
	return ct ^ ct >> 32;
}

static __always_inline __u64 reveal(__u64 hidden)
{
	return ((hidden ^ hidden >> 32) * hide_inverse) ^ hide_mask;
}

/*
 * When two packets race with one original tuple and different translations, the kernel keeps both
 * connections and marks the later one. Not 0 for that: a digest of its reply tuple.
 */
static __always_inline __u32 clash_of(const struct ct_view *view, const int words)
{
	const struct ct_tuple *reply = view->reply;
	__u64 mixed;

	if (!(view->status & NAT_CLASH))
		return 0;
	mixed = (__u64)reply->sport << 16 | reply->dport;
	for (int i = 0; i < words; i++)
		mixed = (mixed * 0x9e3779b97f4a7c15ULL) ^
			((__u64)reply->src[i] << 32 | reply->dst[i]);
	mixed *= 0xd6e8feb86659fd93ULL;
	return mixed >> 32 | 1;
}

/* The only function that makes a key; Key::of in crates/conntrack/src/flow_entry.rs is its twin. */
static __always_inline void put_key(struct flow6_key *key, const struct ct_view *view,
				    const int words)
{
	key->netns_ino = view->netns_ino;
	key->zone = view->zone;
	key->proto = view->orig->proto;
	key->pad0 = 0;
	key->sport = view->orig->sport;
	key->dport = view->orig->dport;
	key->clash = clash_of(view, words);
	copy_address(key->addrs, view->orig->src, words);
	copy_address(key->addrs + words, view->orig->dst, words);
}

static __always_inline bool same_key(const struct flow6_key *a, const struct flow6_key *b,
				     const int words)
{
	if (a->netns_ino != b->netns_ino || a->zone != b->zone || a->proto != b->proto ||
	    a->sport != b->sport || a->dport != b->dport || a->clash != b->clash)
		return false;
	return same_address(a->addrs, b->addrs, words) &&
	       same_address(a->addrs + words, b->addrs + words, words);
}

/* The kernel translates a connection once, before it confirms it. */
static __always_inline bool same_reply(const struct flow6 *flow, const struct ct_tuple *reply,
				       const int words)
{
	return flow->reply_sport == reply->sport && flow->reply_dport == reply->dport &&
	       same_address(flow->reply_addrs, reply->src, words) &&
	       same_address(flow->reply_addrs + words, reply->dst, words);
}

static __always_inline bool same_translation(const struct flow6 *a, const struct flow6 *b,
					     const int words)
{
	return a->reply_sport == b->reply_sport && a->reply_dport == b->reply_dport &&
	       same_address(a->reply_addrs, b->reply_addrs, words) &&
	       same_address(a->reply_addrs + words, b->reply_addrs + words, words);
}

/*
 * Without NAT the reply tuple mirrors the original one. The tuples are compared, not the status
 * bits, which are also set on connections that a rule left unchanged. ICMP has an identifier for
 * both ends, which stands where a source port does in either tuple, and a type that differs.
 */
static __always_inline __u8 nat_of(const struct ct_view *view, const int words)
{
	const struct ct_tuple *orig = view->orig, *reply = view->reply;
	bool is_icmp = orig->proto == IPPROTO_ICMP || orig->proto == IPPROTO_ICMPV6;
	__u8 nat = 0;

	if (!same_address(orig->src, reply->dst, words) ||
	    orig->sport != (is_icmp ? reply->sport : reply->dport))
		nat |= SEXTANT_SNAT;
	if (!same_address(orig->dst, reply->src, words) ||
	    (!is_icmp && orig->dport != reply->sport))
		nat |= SEXTANT_DNAT;
	return nat;
}

static __always_inline void put_flow(struct flow6 *flow, __u64 ct, const struct ct_view *view,
				     const int words)
{
	flow->ct = hide(ct);
	flow->first_seen_ns = bpf_ktime_get_ns();
	flow->ct_id = 0;
	flow->status = view->status;
	flow->mark = view->mark;
	flow->expires_jiffies = view->expires_jiffies;
	flow->reply_sport = view->reply->sport;
	flow->reply_dport = view->reply->dport;
	flow->nat = nat_of(view, words);
	flow->flags = 0;
	flow->known = layout_known | SEXTANT_KNOWN_STATUS;
	flow->pad0 = 0;
	flow->pad1 = 0;
	copy_address(flow->reply_addrs, view->reply->src, words);
	copy_address(flow->reply_addrs + words, view->reply->dst, words);
}

/* The kernel never clears these: an nf_conn that has lost one is another connection. */
static __always_inline bool lost_status(__u32 was, __u32 status)
{
	return (was & ~status) & (IPS_SEEN_REPLY | IPS_ASSURED);
}

/*
 * The kernel gives a packet that comes now a new connection, not this one (nf_ct_is_expired). Ask
 * before `expires_jiffies` is updated from the nf_conn. The kernel decided a little earlier, so one
 * that expired in this jiffy or the last may have been found alive.
 */
static __always_inline bool has_expired(__u32 expires_jiffies)
{
	return expires_jiffies && (__s32)((__u32)bpf_jiffies64() - expires_jiffies) > 1;
}

/* By how much a dump may overtake the hook that sees the same confirmation. */
#define LOAD_RACE_NS 1000000000ULL

/* What is known of the packet or call that shows a connection. */
struct sight {
	/* It opens the connection, or repeats the packet that did. */
	bool opens;
	/* The kernel has just confirmed it, or another one that won the race for its tuple. */
	bool confirms;
	/* It was this very nf_conn that was confirmed: an entry that has it is an older one's. */
	bool is_own;
	/* The table probably has it already. */
	bool is_known;
	enum id_lane lane;
};

/*
 * Is the entry from a dump, whose nf_conn is not known, another connection's than the one that has
 * just been confirmed? That one is new, so it is unless the dump has overtaken the hook.
 */
static __always_inline bool outlived_load(const struct flow6 *was, const struct flow6 *now,
					  const struct sight *sight)
{
	return sight->confirms && now->first_seen_ns - was->first_seen_ns > LOAD_RACE_NS;
}

/*
 * Is the entry this very connection's? The address of the nf_conn is not enough: it is reused at
 * once when a SYN replaces a connection in TIME_WAIT, or a datagram one that has expired. The
 * status is read again, because the entry may know of a reply that came after we read it first.
 *
 * `now` is what the nf_conn would be as an entry. Only of a packet that opens the connection is it
 * true that a packet of a live one has always been seen before it expired.
 */
static __always_inline bool is_same(const struct flow6 *was, __u64 ct, const struct flow6 *now,
				    const struct sight *sight, const int words)
{
	if (was->flags & (FLOW_ENDED | FLOW_REPORTED))
		return false;
	if (was->ct && (was->ct != now->ct || sight->is_own))
		return false;
	if (!was->ct && outlived_load(was, now, sight))
		return false;
	if (!same_translation(was, now, words))
		return false;
	if (lost_status(was->status, now->status) && lost_status(was->status, read_status(ct)))
		return false;
	return !(sight->opens && has_expired(was->expires_jiffies));
}

/* What read_flow() found. */
enum found_flow {
	FOUND_UNREADABLE,
	FOUND_UNCONFIRMED,
	FOUND_OTHER_FAMILY,
	FOUND_IPV4,
	FOUND_IPV6,
};

/*
 * Key and entry of an nf_conn, if it is a connection: confirmed, and of a family that we know. A
 * function of its own, because the window would not fit on the stack beside all else.
 */
static __noinline enum found_flow read_flow(__u64 ct, struct flow6_key *key, struct flow6 *flow)
{
	__u64 window[WINDOW_MAX / sizeof(__u64)];
	struct ct_view view;

	if (read_ct(ct, window, &view))
		return FOUND_UNREADABLE;
	/*
	 * What is refused is never confirmed, but the refusal is sent with its nf_conn. And before
	 * it is confirmed, a connection may still be translated.
	 */
	if (!(view.status & IPS_CONFIRMED))
		return FOUND_UNCONFIRMED;
	if (view.orig->l3num == SEXTANT_IPV4) {
		put_key(key, &view, V4_WORDS);
		put_flow(flow, ct, &view, V4_WORDS);
		return FOUND_IPV4;
	}
	if (view.orig->l3num == SEXTANT_IPV6) {
		put_key(key, &view, V6_WORDS);
		put_flow(flow, ct, &view, V6_WORDS);
		return FOUND_IPV6;
	}
	return FOUND_OTHER_FAMILY;
}

/* Does the nf_conn of an entry still serve its connection, dying or not? */
static __always_inline bool still_serves(const struct flow6_key *key, const struct flow6 *flow,
					 const int words)
{
	__u64 ct = reveal(flow->ct);
	struct ct_tuple tuple;

	if (!flow->ct || !(read_status(ct) & IPS_CONFIRMED))
		return false;
	if (read_tuple(ct, at_reply, &tuple) || !same_reply(flow, &tuple, words))
		return false;
	return !read_tuple(ct, at_orig, &tuple) && tuple.sport == key->sport &&
	       tuple.dport == key->dport && tuple.proto == key->proto &&
	       same_address(key->addrs, tuple.src, words) &&
	       same_address(key->addrs + words, tuple.dst, words);
}

/*
 * Does a packet of an nf_conn that has ended come after the entry's connection began? If not, its
 * own connection is the entry's successor, first seen when it had ended.
 */
static __always_inline bool is_late(const struct flow6_key *key, const struct flow6 *was,
				    const struct flow6 *now, const int words)
{
	if (!(now->status & IPS_DYING))
		return false;
	if (was->ct == now->ct)
		return was->flags & (FLOW_ENDED | FLOW_REPORTED) &&
		       same_translation(was, now, words);
	return still_serves(key, was, words) && !(read_status(reveal(was->ct)) & IPS_DYING);
}

#endif
