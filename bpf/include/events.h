/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * The ring buffer through which programs tell the pump of connections, and how an entry of the
 * table becomes a record.
 *
 * One body of code serves both families. `words` is how many 32-bit words an address takes, a
 * constant wherever this is inlined.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "flow_table.h"
#include "sextant_record.h"

#define V4_WORDS 1
#define V6_WORDS 4

/* What a program tells of a record: all but the counters, which it does not know. */
enum event_size {
	EVENT_BYTES = __builtin_offsetof(struct sextant_record, packets),
};

/*
 * The first EVENT_BYTES of struct sextant_record, seq unset. Written by every program, read by the
 * pump. When full, a new connection waits in the table for the next sweep to tell of it, and an
 * ended one stays there until a sweep can; only what has to make room for a successor is lost, and
 * counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* user space sets it */
} events SEC(".maps");

/* The pump sets it before it sleeps on the ring buffer; whoever tells it something wakes it. */
volatile __u32 pump_sleeps;

static __always_inline void copy_address(__be32 *to, const __be32 *from, const int words)
{
	to[0] = from[0];
	if (words == V6_WORDS) {
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
	}
}

/* An address in a record is 16 bytes; IPv4 stands in it as ::ffff:a.b.c.d. */
static __always_inline void put_address(__u8 *to, const __be32 *from, const int words)
{
	__be32 *out = (__be32 *)to;

	if (words == V4_WORDS) {
		out[0] = 0;
		out[1] = 0;
		out[2] = bpf_htonl(0xffff);
		out[3] = from[0];
	} else {
		copy_address(out, from, words);
	}
}

static __always_inline void put_record(struct sextant_record *record, __u8 type, __u64 ts_ns,
				       const struct flow6_key *key, const struct flow6 *flow,
				       const int words)
{
	__builtin_memset(record, 0, EVENT_BYTES);
	record->ts_mono_ns = ts_ns;
	record->ct_id = flow->ct_id;
	record->type = type;
	record->family = words == V4_WORDS ? SEXTANT_IPV4 : SEXTANT_IPV6;
	record->proto = key->proto;
	record->nat = flow->nat;
	record->netns_ino = key->netns_ino;
	record->status = flow->status;
	record->mark = flow->mark;
	record->zone = key->zone;
	record->known = flow->known;
	record->orig_sport = bpf_ntohs(key->sport);
	record->orig_dport = bpf_ntohs(key->dport);
	record->reply_sport = bpf_ntohs(flow->reply_sport);
	record->reply_dport = bpf_ntohs(flow->reply_dport);
	put_address(record->orig_src, key->addrs, words);
	put_address(record->orig_dst, key->addrs + words, words);
	put_address(record->reply_src, flow->reply_addrs, words);
	put_address(record->reply_dst, flow->reply_addrs + words, words);
}

/* Awake, the pump looks by itself every millisecond: a wake-up costs more than all the rest. */
static __always_inline __u64 wakeup(void)
{
	if (!pump_sleeps)
		return BPF_RB_NO_WAKEUP;
	pump_sleeps = 0;
	return BPF_RB_FORCE_WAKEUP;
}

#endif
