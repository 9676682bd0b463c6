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

#define RECENT_SLOTS 8192

/* By address: the nf_conn that began last there. Mapped by user space, but not pinned. */
__u64 recent[RECENT_SLOTS];

static __always_inline __u32 recent_slot(__u64 ct)
{
	return (ct >> 7 ^ ct >> 20) & (RECENT_SLOTS - 1);
}

static __always_inline bool is_recent(__u64 ct)
{
	return recent[recent_slot(ct)] == ct;
}

/* `begins`: or else it has been answered, and nothing more is to be learnt of its replies. */
static __always_inline void note_recent(__u64 ct, bool begins)
{
	__u64 *slot = &recent[recent_slot(ct)];

	if (begins) {
		if (*slot != ct)
			*slot = ct;
	} else if (*slot == ct) {
		*slot = 0;
	}
}

#endif
