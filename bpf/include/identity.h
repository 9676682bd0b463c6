/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Which connection is it? Derives the key, the id and the entry of an nf_conn, and decides whether
 * an entry and an nf_conn are the same connection. Changes no map and reports nothing.
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

const volatile __u64 ct_id_secret;

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
	copy_address(key->addrs, view->orig->src, words);
	copy_address(key->addrs + words, view->orig->dst, words);
}

static __always_inline bool same_key(const struct flow6_key *a, const struct flow6_key *b,
				     const int words)
{
	if (a->netns_ino != b->netns_ino || a->zone != b->zone || a->proto != b->proto ||
	    a->sport != b->sport || a->dport != b->dport)
		return false;
	return same_address(a->addrs, b->addrs, words) &&
	       same_address(a->addrs + words, b->addrs + words, words);
}

/*
 * Without NAT the reply tuple mirrors the original one. The tuples are compared, not the status
 * bits, which are also set on connections that a rule left unchanged.
 */
static __always_inline __u8 nat_of(const struct ct_view *view, const int words)
{
	const struct ct_tuple *orig = view->orig, *reply = view->reply;
	/* ICMP has an id and a type instead of ports, and these differ without NAT. */
	bool ports = orig->proto != IPPROTO_ICMP && orig->proto != IPPROTO_ICMPV6;
	__u8 nat = 0;

	if (!same_address(orig->src, reply->dst, words) || (ports && orig->sport != reply->dport))
		nat |= SEXTANT_SNAT;
	if (!same_address(orig->dst, reply->src, words) || (ports && orig->dport != reply->sport))
		nat |= SEXTANT_DNAT;
	return nat;
}

/*
 * Pointers are reused and must not leave the kernel: the time makes the id unique, the secret hides
 * the pointer.
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

/* The kernel never clears SEEN_REPLY: an nf_conn that has lost it is another connection. */
static __always_inline bool lost_reply(const struct flow6 *was, __u32 status)
{
	return (was->status & ~status) & IPS_SEEN_REPLY;
}

/*
 * Is the entry this very connection's? An nf_conn is reused at once when a new SYN replaces a
 * connection in TIME_WAIT, with the same tuple at the same address. The status is read again,
 * because the entry may know of a reply that came after we first read it.
 */
static __always_inline bool is_same(const struct flow6 *was, __u64 ct, __u32 status)
{
	if (was->ct && was->ct != ct)
		return false;
	if (lost_reply(was, status))
		return read_status(ct) & IPS_SEEN_REPLY;
	return true;
}

#endif
