/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A small memory of the connections that began last, which makes two decisions cheap: is a packet
 * the first of its connection that we see, and is it the first one after a reply?
 *
 * It only guesses: a slot that another connection took costs a lookup, or a reply that is learnt
 * later, by the next sweep.
 */
#ifndef RECENT_H
#define RECENT_H

#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "flow_entry.h"

#define RECENT_SLOTS 8192

/* By address: the nf_conn that began last there. Mapped by user space, but not pinned. */
__u64 recent[RECENT_SLOTS];
/* Likewise: a digest of its tuple. */
__u32 recent_tuples[RECENT_SLOTS];

static __always_inline __u32 recent_slot(__u64 ct)
{
	return (ct >> 7 ^ ct >> 20) & (RECENT_SLOTS - 1);
}

static __always_inline bool is_recent(__u64 ct)
{
	return recent[recent_slot(ct)] == ct;
}

static __always_inline __u32 recent_digest(const struct flow6_key *key, const int words)
{
	__u32 digest = (__u32)key->sport << 16 | key->dport;

	for (int i = 0; i < 2 * words; i++)
		digest = digest * 31 ^ key->addrs[i];
	return digest;
}

/* The same connection, not only the same memory? */
static __always_inline bool is_recent_tuple(__u64 ct, const struct flow6_key *key, const int words)
{
	return is_recent(ct) && recent_tuples[recent_slot(ct)] == recent_digest(key, words);
}

/* `begins`: or else it has been answered, and nothing more is to be learnt of its replies. */
static __always_inline void note_recent(__u64 ct, const struct flow6_key *key, bool begins,
					const int words)
{
	__u32 slot = recent_slot(ct);

	if (begins) {
		if (recent[slot] != ct)
			recent[slot] = ct;
		recent_tuples[slot] = recent_digest(key, words);
	} else if (recent[slot] == ct) {
		recent[slot] = 0;
	}
}

#endif
