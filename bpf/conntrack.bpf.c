// SPDX-License-Identifier: (MIT OR Apache-2.0)
/*
 * Tells of every connection that begins and ends. Each hook is a thin wrapper; flows.h keeps the
 * table and the ring buffer, nf_conn.h reads the kernel's struct.
 */
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "calls.h"
#include "flows.h"
#include "losses.h"
#include "nf_conn.h"
#include "sextant_record.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Named once, so that the types reach the skeleton, where Rust compares them with its own. */
struct wire_types {
	struct sextant_record record;
	enum sextant_record_type type;
	enum sextant_family family;
	enum sextant_nat nat;
	enum sextant_known known;
	enum sextant_loss loss;
	enum flow_flag flag;
	enum event_size event;
};
const struct wire_types wire_types;

/*
 * May a packet with this state be the first we see of its connection? Every packet that leaves
 * the machine is asked, so the cheap answers come first.
 */
static __always_inline bool may_open(__u32 info, __u64 ct)
{
	switch (info) {
	case IP_CT_NEW:
		return true;
	case IP_CT_RELATED:
		/* Expected by a helper; without the bit it is an ICMP error about another one. */
		return read_status(ct) & IPS_EXPECTED;
	case IP_CT_ESTABLISHED_REPLY:
	case IP_CT_RELATED_REPLY:
		/* An answer to a caller from outside, whose own packets do not pass here. */
		return !(read_status(ct) & IPS_ASSURED);
	default:
		return false;
	}
}

/* net_dev_queue(struct sk_buff *skb): a packet is about to be queued on a device. */
SEC("raw_tp/net_dev_queue")
int on_net_dev_queue(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 nfct = read_nfct((void *)ctx->args[0]);
	__u32 info = nfct_info(nfct);
	__u64 ct = nfct_ct(nfct);

	if (ct && may_open(info, ct))
		saw_ct(ct, info >= IP_CT_IS_REPLY);
	return 0;
}

/* int __nf_conntrack_confirm(struct sk_buff *skb): the connection enters the kernel's table. */
SEC("kprobe")
int on_confirm(struct pt_regs *ctx)
{
	enter_call(PT_REGS_PARM1(ctx));
	return 0;
}

/* Confirmed, if the packet may pass. Another connection may have won a race and taken its place. */
SEC("kretprobe")
int on_confirmed(struct pt_regs *ctx)
{
	__u64 skb = leave_call();
	__u64 ct;

	if (!skb || (int)PT_REGS_RC(ctx) != NF_ACCEPT)
		return 0;
	ct = nfct_ct(read_nfct((void *)skb));
	if (ct)
		saw_ct(ct, false);
	return 0;
}

/* int nf_conntrack_hash_check_insert(struct nf_conn *ct): user space or another module adds one. */
SEC("kprobe")
int on_insert(struct pt_regs *ctx)
{
	enter_call(PT_REGS_PARM1(ctx));
	return 0;
}

SEC("kretprobe")
int on_inserted(struct pt_regs *ctx)
{
	__u64 ct = leave_call();

	if (ct && (int)PT_REGS_RC(ctx) == 0)
		saw_ct(ct, false);
	return 0;
}

/* void nf_ct_destroy(struct nf_conntrack *), destroy_conntrack() before 6.1: first in nf_conn. */
SEC("kprobe")
int on_destroy(struct pt_regs *ctx)
{
	ct_ended(PT_REGS_PARM1(ctx));
	return 0;
}

/* What one sweep found. */
struct sweep_result {
	__u32 kept[2]; /* entries of each table that are still to be looked after */
	__u32 ended;
	__u32 stuck; /* the ring buffer was full: sweep again */
};
struct sweep_result sweep_result;

/*
 * The slab of nf_conn is typesafe by RCU: a freed one keeps its form until it serves another
 * connection, and a page that went elsewhere will hardly hold our key. So whatever lies there
 * may be read, and answers whether the entry's connection still lives.
 */
static __always_inline bool still_lives(struct flow6 *flow, const struct flow6_key *key,
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
	if (now.netns_ino != key->netns_ino || now.zone != key->zone || now.proto != key->proto ||
	    now.sport != key->sport || now.dport != key->dport)
		return false;
	if (!same_address(now.addrs, key->addrs, words) ||
	    !same_address(now.addrs + words, key->addrs + words, words))
		return false;
	if ((flow->status & ~view.status) & IPS_SEEN_REPLY)
		return false;
	flow->status = view.status;
	flow->mark = view.mark;
	return true;
}

/* Looks after one entry; 1 ends the sweep. */
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
	if (still_lives(flow, key, words)) {
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

/* Is there anything in this table to look after? */
static __always_inline bool needs_sweep(const int words)
{
	int family = family_of(words);
	bool grew = table_grew[family];

	table_grew[family] = 0;
	return grew || sweep_result.kept[family] || sweep_result.stuck;
}

/* Run by user space through BPF_PROG_TEST_RUN, attached to nothing. */
SEC("raw_tp")
int sweep(void *ctx)
{
	bool v4 = needs_sweep(V4_WORDS), v6 = needs_sweep(V6_WORDS);

	__builtin_memset(&sweep_result, 0, sizeof(sweep_result));
	if (v4)
		bpf_for_each_map_elem(&flows4, sweep_flow4, NULL, 0);
	if (v6)
		bpf_for_each_map_elem(&flows6, sweep_flow6, NULL, 0);
	return 0;
}
