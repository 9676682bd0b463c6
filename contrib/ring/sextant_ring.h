/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * The layout of the shared-memory ring for readers in C. A test compares the numbers with those of
 * crates/shared/src/ring/layout.rs. A reader opens the file read-only, checks the header and keeps
 * its own cursor; it never writes to the ring. sextant_ring_reader.h is a whole reader.
 */
#ifndef SEXTANT_RING_H
#define SEXTANT_RING_H

#include <stdint.h>
#include "sextant_record.h"

#define SEXTANT_RING_MAGIC     0x5358544e52494e47ULL /* "SXTNRING" */
#define SEXTANT_RING_ABI_MAJOR 1
#define SEXTANT_RING_ABI_MINOR 2

struct sextant_ring_field {
	char name[24];	 /* as in struct sextant_record */
	uint16_t offset; /* in the slot */
	uint16_t width;	 /* bytes */
	uint16_t kind;	 /* 0 unsigned integers, 1 raw bytes */
	uint16_t known;	 /* its bit in the record's word `known`, or 0 if always known */
};

struct sextant_ring_header {
	uint64_t magic;		     /* 0: written last */
	uint64_t abi;		     /* 8: major << 48 | minor << 32 | header bytes */
	uint64_t slots;		     /* 16: slot bytes << 32 | log2 of their number */
	uint64_t schema_hash;	     /* 24 */
	uint64_t writer;	     /* 32: pid << 32 | source */
	uint64_t reserved0;	     /* 40: zero */
	uint64_t boot_id[2];	     /* 48 */
	uint64_t epoch_ns;	     /* 64 */
	uint64_t realtime_offset_ns; /* 72: CLOCK_REALTIME minus CLOCK_MONOTONIC at creation */
	uint64_t fields;	     /* 80: entries of field[] */
	uint64_t pad0[21];
	uint64_t state; /* 256: 1 dumping, 2 live, 3 closed */
	uint64_t heartbeat_mono_ns;
	uint64_t pad1[14];
	uint32_t doorbell; /* 384: futex word */
	uint32_t pad2[31];
	uint64_t head; /* 512: number of the next record */
	uint64_t pad3[15];
	uint64_t losses[16]; /* 640: by enum sextant_loss */
	uint64_t pad4[32];
	struct sextant_ring_field field[96]; /* 1024 */
};

_Static_assert(sizeof(struct sextant_ring_header) == 4096, "slots begin on the next page");

enum sextant_slot {
	SEXTANT_SLOT_OK,
	SEXTANT_SLOT_NOT_YET,
	SEXTANT_SLOT_OVERWRITTEN,
};

/*
 * Is the last word of the copied slot the sum of all others? Since ABI 1.2 it is. Where the file
 * was cut there are zeros, and it is not.
 */
static inline int sextant_slot_is_whole(const struct sextant_record *copy)
{
	const uint64_t *words = (const uint64_t *)copy;
	unsigned int last = sizeof(*copy) / 8 - 1;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < last; i++)
		sum += words[i];
	return words[last] == sum;
}

/*
 * Copies record `number` from a mapped ring. `to` is valid only if this returns SEXTANT_SLOT_OK.
 *
 * A process that maps a ring gets SIGBUS when another one cuts the file short, and must be ready
 * for it; sextant_ring_reader.h maps no slots and gets none.
 */
static inline enum sextant_slot sextant_slot_read(const struct sextant_record *slot,
						  uint64_t number, struct sextant_record *to)
{
	const uint64_t *from = (const uint64_t *)slot;
	uint64_t complete = 2 * number + 2, seq;
	uint64_t *words = (uint64_t *)to;

	seq = __atomic_load_n(from, __ATOMIC_ACQUIRE);
	if (seq != complete)
		return seq > complete ? SEXTANT_SLOT_OVERWRITTEN : SEXTANT_SLOT_NOT_YET;
	words[0] = seq;
	for (unsigned int i = 1; i < sizeof(*to) / 8; i++)
		words[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	seq = __atomic_load_n(from, __ATOMIC_RELAXED);
	return seq == complete ? SEXTANT_SLOT_OK : SEXTANT_SLOT_OVERWRITTEN;
}

#endif
