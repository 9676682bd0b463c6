/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Reports connections to the pump: the ring buffer, how an entry of the table becomes a record, and
 * the records of its beginning and end. Does not decide which connection it is, nor change maps.
 */
#ifndef EMISSION_H
#define EMISSION_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "flow_entry.h"
#include "nf_conn.h"
#include "sextant_record.h"

/* How much of a record a program fills: all but the counters, which it does not know. */
enum event_size {
	EVENT_BYTES = __builtin_offsetof(struct sextant_record, packets),
};

/*
 * The first EVENT_BYTES of struct sextant_record, seq unset. Written by every program, read by the
 * pump. When full, a new connection waits in the table until the next sweep reports it, and an
 * ended one stays there until a sweep can report it. Only an entry that its successor replaces is
 * lost, and counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* user space sets it */
} events SEC(".maps");

/* The pump sets it before it sleeps on the ring buffer; the next program that reports wakes it. */
volatile __u32 pump_sleeps;

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

/* Room for a record; NULL if the ring buffer is full. */
static __always_inline struct sextant_record *reserve_record(void)
{
	return bpf_ringbuf_reserve(&events, EVENT_BYTES, 0);
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

/* Awake, the pump polls every millisecond: a wake-up costs more than all the rest. */
static __always_inline __u64 wakeup_flag(void)
{
	if (!pump_sleeps)
		return BPF_RB_NO_WAKEUP;
	pump_sleeps = 0;
	return BPF_RB_FORCE_WAKEUP;
}

/*
 * Gives room back that was taken in vain. It is free only when the pump has read over it. So a pump
 * that sleeps is woken before such room fills the ring buffer; nothing else would.
 */
static __always_inline void discard_record(struct sextant_record *record)
{
	__u64 flag = BPF_RB_NO_WAKEUP;

	if (pump_sleeps && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >
				   bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2)
		flag = wakeup_flag();
	bpf_ringbuf_discard(record, flag);
}

static __always_inline void submit_beginning(struct sextant_record *record,
					     const struct flow6_key *key, const struct flow6 *flow,
					     const int words)
{
	put_record(record, SEXTANT_NEW, flow->first_seen_ns, key, flow, words);
	bpf_ringbuf_submit(record, wakeup_flag());
}

/* Reports a beginning; false if the ring buffer is full. */
static __always_inline bool report_beginning(const struct flow6_key *key, const struct flow6 *flow,
					     const int words)
{
	struct sextant_record *record = reserve_record();

	if (!record)
		return false;
	submit_beginning(record, key, flow, words);
	return true;
}

/* What the nf_conn says of a connection at its end. */
struct ending {
	__u64 ts_ns;   /* CLOCK_MONOTONIC when it was noticed, or when its successor began */
	bool is_known; /* false: the memory serves another connection already */
	__u32 status;
	__u32 mark;
};

/*
 * Reports the end of a connection that the caller has claimed, and its beginning if that found the
 * ring buffer full; false if it is full now. What is not known of the end is not reported.
 */
static __always_inline bool report_end(const struct flow6_key *key, struct flow6 *flow,
				       const struct ending *ending, const int words)
{
	struct sextant_record *record;

	if (flow->flags & FLOW_REPORTED)
		return true;
	if (flow->flags & FLOW_UNANNOUNCED) {
		if (!report_beginning(key, flow, words))
			return false;
		flow->flags &= ~FLOW_UNANNOUNCED;
	}
	record = reserve_record();
	if (!record)
		return false;
	put_record(record, SEXTANT_DESTROY, ending->ts_ns, key, flow, words);
	if (ending->is_known) {
		record->status = ending->status;
		if (layout_known & SEXTANT_KNOWN_MARK)
			record->mark = ending->mark;
	} else {
		record->known &= ~(SEXTANT_KNOWN_STATUS | SEXTANT_KNOWN_MARK);
		record->status = 0;
		record->mark = 0;
	}
	bpf_ringbuf_submit(record, wakeup_flag());
	return true;
}

/*
 * The end of a claimed entry waits for room in the ring buffer. Until then its nf_conn may serve
 * another connection, so what is known of the end is kept here.
 */
static __always_inline void keep_ending(struct flow6 *flow, const struct ending *ending)
{
	flow->flags |= FLOW_ENDED;
	if (!ending->is_known)
		flow->known &= ~(SEXTANT_KNOWN_STATUS | SEXTANT_KNOWN_MARK);
	flow->status = ending->is_known ? ending->status : 0;
	flow->mark = ending->is_known ? ending->mark : 0;
}

#endif
