/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Counts the connections for which the table has no room: each once, whatever the number of its
 * packets, and none of them later becomes an entry, when there is room again.
 */
#ifndef OVERFLOW_H
#define OVERFLOW_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "flow_entry.h"
#include "identity.h"
#include "losses.h"
#include "sextant_record.h"

/* A connection that was counted. */
struct counted {
	__u64 ct; /* hidden nf_conn; 0: from a dump, not known yet */
	__u32 status;
	__u32 expires_jiffies;
};

/*
 * Key: digest of the connection's key and translation. Value: which incarnation. Written and read
 * only once the table has been full, also by user space when it loads. When this is full, too, the
 * least recently used is evicted, and would be counted again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct counted);
} overflow SEC(".maps");

/* Has the table ever refused a connection, of a hook or of a dump? */
volatile __u32 has_overflowed;
volatile __u32 load_overflowed;

/* Entry::digest in crates/conntrack/src/flow_entry.rs is its twin. */
static __always_inline __u64 digest_of(const struct flow6_key *key, const struct flow6 *flow,
				       const int words)
{
	__u64 mixed = (__u64)key->netns_ino << 32 | (__u64)key->zone << 16 | key->proto;

	mixed = mixed * 0x9e3779b97f4a7c15ULL ^
		((__u64)key->sport << 48 | (__u64)key->dport << 32 |
		 (__u64)flow->reply_sport << 16 | flow->reply_dport);
	for (int i = 0; i < 2 * words; i++)
		mixed = mixed * 0x9e3779b97f4a7c15ULL ^
			((__u64)key->addrs[i] << 32 | flow->reply_addrs[i]);
	return mixed ^ mixed >> 32;
}

static __always_inline bool may_be_counted(void)
{
	return has_overflowed || load_overflowed;
}

/*
 * Was this connection counted, when it or an earlier packet of it found no room? Ask only if it
 * may be.
 */
static __noinline bool was_counted(const struct flow6_key *key, const struct flow6 *flow,
				   bool opens, const int words)
{
	__u64 digest = digest_of(key, flow, words);
	struct counted *was = bpf_map_lookup_elem(&overflow, &digest);

	if (!was || (was->ct && was->ct != flow->ct) || lost_status(was->status, flow->status) ||
	    (opens && has_expired(was->expires_jiffies)))
		return false;
	was->ct = flow->ct;
	was->status = flow->status;
	was->expires_jiffies = flow->expires_jiffies;
	return true;
}

/* `refusal` is what the table said. */
static __noinline int count_refused(const struct flow6_key *key, const struct flow6 *flow,
				    int refusal, const int words)
{
	__u64 digest = digest_of(key, flow, words);
	struct counted now = {
		.ct = flow->ct,
		.status = flow->status,
		.expires_jiffies = flow->expires_jiffies,
	};

	has_overflowed = 1;
	bpf_map_update_elem(&overflow, &digest, &now, BPF_ANY);
	count_loss(refusal == -E2BIG ? SEXTANT_LOSS_TABLE_FULL : SEXTANT_LOSS_TABLE_REFUSED);
	return 0;
}

/* The connection has ended: the next one of its tuples is another. */
static __noinline int forget_counted(const struct flow6_key *key, const struct flow6 *last,
				     const int words)
{
	__u64 digest = digest_of(key, last, words);
	struct counted *was = bpf_map_lookup_elem(&overflow, &digest);

	if (was && was->ct == last->ct)
		bpf_map_delete_elem(&overflow, &digest);
	return 0;
}

#endif
