// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Reports every connection that begins or ends. Each hook is a thin wrapper around lifecycle.h;
 * crates/conntrack/src/bpf/hooks.rs says which of them are loaded and where they are attached.
 */
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "calls.h"
#include "lifecycle.h"
#include "nf_conn.h"
#include "sextant_record.h"
#include "sweep.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The contexts of `check_one` and `end_gone`. The key of an IPv4 entry is the first part. */
struct check_request {
	struct flow6_key key;
	__u64 is_v6;
};

struct gone_request {
	struct flow6_key key;
	__u64 is_v6;
	__u64 id;
	__u64 is_replaced;
};

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
	enum window_size window;
	enum checked checked;
	enum id_lane lane;
	struct check_request check_request;
	struct gone_request gone_request;
};
const struct wire_types wire_types;

/*
 * Can a packet in this state show a connection, or a reply, that we have not seen? This runs for
 * every packet that leaves the machine, so the cheap checks come first.
 */
static __always_inline bool is_of_interest(__u32 info, __u64 ct)
{
	switch (info) {
	case IP_CT_NEW:
		return true;
	case IP_CT_ESTABLISHED:
		/* The first packet after the reply, which was not sent but received here. */
		return is_recent(ct);
	case IP_CT_RELATED:
		/* Expected by a helper; without the bit it is an ICMP error about another
		 * connection. */
		return read_status(ct) & IPS_EXPECTED;
	case IP_CT_ESTABLISHED_REPLY:
	case IP_CT_RELATED_REPLY:
		/* A reply to a client outside, whose own packets do not pass here. */
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
	struct sight sight = {
		.opens = info == IP_CT_NEW || info == IP_CT_RELATED,
		.lane = LANE_TRACEPOINT,
	};

	if (!ct || !is_of_interest(info, ct))
		return 0;
	sight.is_known = info != IP_CT_NEW || is_recent(ct);
	saw_ct(ct, &sight);
	return 0;
}

/* The connection of a packet whose confirmation has just succeeded; `before` it had this one, or 0:
 * not known. */
static __always_inline void saw_confirmed(__u64 skb, __u64 before)
{
	struct sight sight = {.opens = true, .confirms = true, .lane = LANE_CONFIRM};
	/* Read after the call: the kernel replaces it when another one won the race for its tuple.
	 */
	__u64 ct = nfct_ct(read_nfct((void *)skb));

	sight.is_own = ct == before;
	if (ct)
		saw_ct(ct, &sight);
}

static __always_inline void saw_inserted(__u64 ct)
{
	struct sight sight = {.opens = true, .confirms = true, .lane = LANE_INSERT};

	saw_ct(ct, &sight);
}

/* The connection of a packet if it is not in the kernel's table yet, or 0. */
static __always_inline __u64 unconfirmed_ct(__u64 skb)
{
	__u64 ct = nfct_ct(read_nfct((void *)skb));

	return ct && !(read_status(ct) & IPS_CONFIRMED) ? ct : 0;
}

/* int __nf_conntrack_confirm(struct sk_buff *skb): the connection enters the kernel's table. */
SEC("kprobe")
int on_confirm(struct pt_regs *ctx)
{
	__u64 skb = PT_REGS_PARM1(ctx);

	enter_call(skb, unconfirmed_ct(skb), PT_REGS_SP(ctx));
	return 0;
}

SEC("kretprobe")
int on_confirmed(struct pt_regs *ctx)
{
	__u64 before = 0, skb = leave_call(PT_REGS_SP(ctx), &before);

	if (skb && (int)PT_REGS_RC(ctx) == NF_ACCEPT)
		saw_confirmed(skb, before);
	return 0;
}

/* The first argument as a number: the verifier forbids arithmetic on a typed pointer. */
static __always_inline __u64 first_argument(const __u64 *ctx)
{
	__u64 argument = 0;

	bpf_probe_read_kernel(&argument, sizeof(argument), ctx);
	return argument;
}

SEC("fexit/__nf_conntrack_confirm")
int after_confirm(__u64 *ctx)
{
	if ((int)ctx[1] == NF_ACCEPT)
		saw_confirmed(first_argument(ctx), 0);
	return 0;
}

/* int nf_conntrack_hash_check_insert(struct nf_conn *ct): user space or another module adds one. */
SEC("kprobe")
int on_insert(struct pt_regs *ctx)
{
	enter_call(PT_REGS_PARM1(ctx), 0, PT_REGS_SP(ctx));
	return 0;
}

SEC("kretprobe")
int on_inserted(struct pt_regs *ctx)
{
	__u64 unused, ct = leave_call(PT_REGS_SP(ctx), &unused);

	if (ct && (int)PT_REGS_RC(ctx) == 0)
		saw_inserted(ct);
	return 0;
}

SEC("fexit/nf_conntrack_hash_check_insert")
int after_insert(__u64 *ctx)
{
	if ((int)ctx[1] == 0)
		saw_inserted(first_argument(ctx));
	return 0;
}

/*
 * void nf_ct_destroy(struct nf_conntrack *), before 6.1 destroy_conntrack(). The argument is the
 * first member of nf_conn.
 */
SEC("kprobe")
int on_destroy(struct pt_regs *ctx)
{
	ct_ended(PT_REGS_PARM1(ctx));
	return 0;
}

SEC("fentry/nf_ct_destroy")
int before_destroy(__u64 *ctx)
{
	ct_ended(first_argument(ctx));
	return 0;
}

/* Run by user space through BPF_PROG_TEST_RUN, attached to nothing. */
SEC("raw_tp")
int sweep(void *ctx)
{
	sweep_tables();
	return 0;
}

/*
 * Run likewise for one entry, also by other processes through its pin. Returns an enum checked.
 */
SEC("raw_tp")
int check_one(struct check_request *ctx)
{
	struct flow6_key key = ctx->key;

	return ctx->is_v6 ? check(&key, V6_WORDS) : check(&key, V4_WORDS);
}

/* Likewise, for one that came from a dump. */
SEC("raw_tp")
int end_gone(struct gone_request *ctx)
{
	struct flow6_key key = ctx->key;

	if (ctx->is_v6)
		return end_loaded(&key, ctx->id, ctx->is_replaced, V6_WORDS);
	return end_loaded(&key, ctx->id, ctx->is_replaced, V4_WORDS);
}
