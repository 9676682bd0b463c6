/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Reads struct nf_conn at measured offsets. The offsets are read-only data that user space sets
 * before the load, so the verifier sees constants and drops what this kernel does not have.
 */
#ifndef NF_CONN_H
#define NF_CONN_H

#include <linux/bpf.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "losses.h"

/* Most bytes of an nf_conn that are copied at once; the fields lie within 168 on known kernels. */
enum window_size {
	WINDOW_MAX = 176,
};

/* A clash was resolved, and only the reply tuple is in the kernel's hash table. The uapi header has
 * the bit's older name, IPS_UNTRACKED. Since 5.7. */
#define NAT_CLASH (1 << 12)

/*
 * struct nf_conntrack_tuple (include/net/netfilter/nf_conntrack_tuple.h), whose inside has been
 * the same since 2.6.20: union nf_inet_addr is 16 bytes, of which IPv4 uses the first four.
 */
struct ct_tuple {
	__be32 src[4];
	__be16 sport; /* ICMP: id */
	__u16 l3num;  /* AF_* */
	__be32 dst[4];
	__be16 dport; /* ICMP: type, code */
	__u8 proto;
	__u8 dir;
};

_Static_assert(sizeof(struct ct_tuple) == 40, "struct nf_conntrack_tuple");

const volatile __u32 off_skb_nfct;
/* The copied part of nf_conn: where it begins, how long it is, and places within it. */
const volatile __u32 window_start;
const volatile __u32 window_bytes;
const volatile __u32 at_orig;
const volatile __u32 at_reply;
const volatile __u32 at_status;
const volatile __u32 at_ct_net;
const volatile __u32 at_mark;
const volatile __u32 at_zone;
const volatile __u32 at_timeout;
const volatile __u32 off_net_inum;
const volatile __u32 off_ct_status; /* from the start of nf_conn, for a read on its own */
/* enum sextant_known: which of the optional fields this kernel has. */
const volatile __u32 layout_known;
const volatile bool has_timeout;

/* What was read of one nf_conn; the tuples point into the window. */
struct ct_view {
	const struct ct_tuple *orig;
	const struct ct_tuple *reply;
	__u32 status;
	__u32 mark;
	__u32 netns_ino;
	__u32 expires_jiffies; /* 0: not known */
	__u16 zone;
};

/* The low bits of skb->_nfct are enum ip_conntrack_info (NFCT_INFOMASK), the rest the pointer. */
static __always_inline __u32 nfct_info(__u64 nfct)
{
	return nfct & 7;
}

static __always_inline __u64 nfct_ct(__u64 nfct)
{
	return nfct & ~7ULL;
}

/* skb->_nfct, or 0 as for a packet without a connection. */
static __always_inline __u64 read_nfct(const void *skb)
{
	__u64 nfct = 0;

	if (bpf_probe_read_kernel(&nfct, sizeof(nfct), skb + off_skb_nfct)) {
		count_loss(SEXTANT_LOSS_READ_FAULT);
		return 0;
	}
	return nfct;
}

static __always_inline __u32 read_status(__u64 ct)
{
	__u64 status = 0; /* unsigned long in the kernel */

	bpf_probe_read_kernel(&status, sizeof(status), (void *)(ct + off_ct_status));
	return status;
}

/* A tuple alone; `at` as in the window. Non-zero if the memory cannot be read. */
static __always_inline int read_tuple(__u64 ct, __u32 at, struct ct_tuple *tuple)
{
	return bpf_probe_read_kernel(tuple, sizeof(*tuple), (void *)(ct + window_start + at));
}

/* The mark alone; 0 if this kernel has none. Non-zero if the memory cannot be read. */
static __always_inline int read_mark(__u64 ct, __u32 *mark)
{
	*mark = 0;
	if (!(layout_known & SEXTANT_KNOWN_MARK))
		return 0;
	return bpf_probe_read_kernel(mark, sizeof(*mark), (void *)(ct + window_start + at_mark));
}

static __always_inline int read_netns_ino(const void *window, __u32 *ino)
{
	__u64 net = *(const __u64 *)(window + at_ct_net);

	return bpf_probe_read_kernel(ino, sizeof(*ino), (void *)(net + off_net_inum));
}

/* Copies what we need of an nf_conn; non-zero if the memory cannot be read. */
static __always_inline int read_ct(__u64 ct, void *window, struct ct_view *view)
{
	int err = bpf_probe_read_kernel(window, window_bytes, (void *)(ct + window_start));

	if (err)
		return err;
	view->orig = window + at_orig;
	view->reply = window + at_reply;
	view->status = *(const __u64 *)(window + at_status);
	view->mark = 0;
	view->netns_ino = 0;
	view->zone = 0;
	view->expires_jiffies = 0;
	if (has_timeout)
		view->expires_jiffies = *(const __u32 *)(window + at_timeout);
	if (layout_known & SEXTANT_KNOWN_MARK)
		view->mark = *(const __u32 *)(window + at_mark);
	if (layout_known & SEXTANT_KNOWN_ZONE)
		view->zone = *(const __u16 *)(window + at_zone);
	if (layout_known & SEXTANT_KNOWN_NETNS)
		return read_netns_ino(window, &view->netns_ino);
	return 0;
}

#endif
