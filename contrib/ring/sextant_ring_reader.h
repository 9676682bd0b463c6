/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * A reader of the ring that no file can hang or kill: it follows no link, waits for no FIFO,
 * believes only root and its own user, and copies records with pread(2). So a file that another
 * process cuts short is an error here, where a mapping would raise SIGBUS. A batch of records costs
 * three system calls.
 *
 * Define _GNU_SOURCE before the first #include. ringcat.c shows the use.
 */
#ifndef SEXTANT_RING_READER_H
#define SEXTANT_RING_READER_H

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "sextant_ring.h"

struct sextant_ring {
	int fd;
	int has_sums;	     /* see sextant_slot_is_whole() */
	uint64_t slots;	     /* their number */
	uint64_t next;	     /* number of the record to be read next */
	uint64_t missed;     /* records that were overwritten before they were read */
	uint32_t pid;	     /* of the writer */
	const void *mapping; /* for futex(2) only: to dereference it may raise SIGBUS */
};

enum sextant_writer {
	SEXTANT_WRITER_ALIVE,
	SEXTANT_WRITER_CLOSED, /* it ended in order; nothing follows */
	SEXTANT_WRITER_DIED,
};

/* A word of the header. Returns 0, or -1 if the file has none there any more. */
static inline int sextant_ring_word(const struct sextant_ring *ring, size_t at, uint64_t *word)
{
	ssize_t got = pread(ring->fd, word, sizeof(*word), (off_t)at);

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return got == (ssize_t)sizeof(*word) ? 0 : -1;
}

static inline int sextant_ring_head(const struct sextant_ring *ring, uint64_t *head)
{
	return sextant_ring_word(ring, offsetof(struct sextant_ring_header, head), head);
}

/* Will anything follow? Ask before the last read, not after it. */
static inline enum sextant_writer sextant_ring_writer(const struct sextant_ring *ring)
{
	/* The writer holds a write lock; a question for a read lock meets no other. */
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	const size_t at = offsetof(struct sextant_ring_header, state);
	uint64_t state = 0;

	if (fcntl(ring->fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK)
		return SEXTANT_WRITER_ALIVE;
	/* It closes the ring before it drops the lock. */
	return !sextant_ring_word(ring, at, &state) && state == 3 ? SEXTANT_WRITER_CLOSED
								  : SEXTANT_WRITER_DIED;
}

/* Has the slot of this record been taken by a later one, wholly or in part? Returns -1 if the file
 * has no such slot any more. */
static inline int sextant_ring_is_taken(const struct sextant_ring *ring, uint64_t number)
{
	uint64_t index = number & (ring->slots - 1), seq;
	size_t at = sizeof(struct sextant_ring_header) + index * sizeof(struct sextant_record);

	if (sextant_ring_word(ring, at + offsetof(struct sextant_record, seq), &seq))
		return -1;
	return seq > 2 * number + 2;
}

/* The oldest record that a living writer does not overwrite soon, when `head` are published, a ring
 * or more. The first of them may be half overwritten. */
static inline uint64_t sextant_ring_oldest(const struct sextant_ring *ring, uint64_t head)
{
	int alive = sextant_ring_writer(ring) == SEXTANT_WRITER_ALIVE;
	uint64_t kept = ring->slots - (alive ? ring->slots / 4 : 0);

	return head < kept ? 0 : head - kept;
}

static inline void sextant_ring_close(struct sextant_ring *ring)
{
	if (ring->mapping)
		munmap((void *)(uintptr_t)ring->mapping, sizeof(struct sextant_ring_header));
	if (ring->fd >= 0)
		close(ring->fd);
	ring->mapping = NULL;
	ring->fd = -1;
}

static inline const char *sextant_ring_check(struct sextant_ring *ring)
{
	struct sextant_ring_header header;
	struct stat file;
	uint64_t head;
	void *mapping;
	int taken;

	if (fstat(ring->fd, &file) || !S_ISREG(file.st_mode))
		return "not a file";
	if (file.st_uid != 0 && file.st_uid != geteuid())
		return "belongs to neither root nor the user of this program";
	if (pread(ring->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return "cut short";
	if (header.magic != SEXTANT_RING_MAGIC)
		return "not a ring of this machine";
	if (header.abi >> 48 != SEXTANT_RING_ABI_MAJOR || (uint32_t)header.abi != sizeof(header) ||
	    header.slots >> 32 != sizeof(struct sextant_record) || (uint32_t)header.slots > 24)
		return "not a ring of a known version";
	ring->slots = 1ULL << (uint32_t)header.slots;
	if ((uint64_t)file.st_size < sizeof(header) + ring->slots * sizeof(struct sextant_record))
		return "cut short";
	ring->has_sums = (uint16_t)(header.abi >> 32) >= 2;
	ring->pid = header.writer >> 32;
	mapping = mmap(NULL, sizeof(header), PROT_READ, MAP_SHARED, ring->fd, 0);
	if (mapping == MAP_FAILED)
		return "cannot be mapped";
	ring->mapping = mapping;
	if (sextant_ring_head(ring, &head))
		return "cut short";
	/* What was overwritten before this reader came is no loss of its own. */
	ring->next = head <= ring->slots ? 0 : sextant_ring_oldest(ring, head);
	taken = sextant_ring_is_taken(ring, ring->next);
	if (taken < 0)
		return "cut short";
	ring->next += (uint64_t)taken;
	return NULL;
}

/* Opens a ring at its oldest record. Returns NULL, or what is wrong with it; then nothing is open.
 */
static inline const char *sextant_ring_open(struct sextant_ring *ring, const char *path)
{
	const char *wrong;
	struct stat file;

	*ring = (struct sextant_ring){.fd = -1};
	/* To open a device may have effects: so it is looked at first. */
	if (lstat(path, &file))
		return strerror(errno);
	if (!S_ISREG(file.st_mode))
		return "not a file";
	ring->fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (ring->fd < 0)
		return strerror(errno);
	wrong = sextant_ring_check(ring);
	if (wrong)
		sextant_ring_close(ring);
	return wrong;
}

/*
 * Copies the next records, at most `room` of them. Returns their number, 0 if there are none for
 * now, or -1 if the file was cut short or overwritten by another process.
 */
static inline int sextant_ring_read(struct sextant_ring *ring, struct sextant_record *to, int room)
{
	uint64_t head, count, index, skip, sure;

	if (room <= 0 || sextant_ring_head(ring, &head))
		return room <= 0 ? 0 : -1;
	if (head < ring->next)
		return -1;
	index = ring->next & (ring->slots - 1);
	count = head - ring->next;
	count = count < (uint64_t)room ? count : (uint64_t)room;
	count = count < ring->slots - index ? count : ring->slots - index;
	if (!count)
		return 0;
	if (pread(ring->fd, to, count * sizeof(*to),
		  (off_t)(sizeof(struct sextant_ring_header) + index * sizeof(*to))) !=
	    (ssize_t)(count * sizeof(*to)))
		return -1;
	/*
	 * The head tells which records are overwritten: all that lie more than a ring before it.
	 * The writer may be at the next slot. It may also be at the one behind that: it stores the
	 * head before it begins a record, but on a weakly ordered machine this reader may see
	 * the record's beginning first. It stores a slot's sequence before the other words, so a
	 * slot whose sequence is still the old one was copied whole.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (sextant_ring_head(ring, &head) || head < ring->next + count)
		return -1;
	sure = head < ring->next + ring->slots ? 0 : head - ring->slots - ring->next;
	skip = head + 2 < ring->next + ring->slots ? 0 : head + 2 - ring->slots - ring->next;
	skip = skip < count ? skip : count;
	while (skip > sure) {
		int taken = sextant_ring_is_taken(ring, ring->next + skip - 1);

		if (taken < 0)
			return -1;
		if (taken)
			break;
		skip--;
	}
	if (skip >= count) {
		/* All of them: go on where it will not happen again at once. */
		uint64_t oldest = sextant_ring_oldest(ring, head);

		if (oldest < ring->next + skip)
			oldest = ring->next + skip;
		ring->missed += oldest - ring->next;
		ring->next = oldest;
		return 0;
	}
	memmove(to, to + skip, (count - skip) * sizeof(*to));
	ring->missed += skip;
	ring->next += skip;
	count -= skip;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t complete = 2 * (ring->next + i) + 2;

		if (to[i].seq != complete || (ring->has_sums && !sextant_slot_is_whole(&to[i])))
			return -1;
	}
	ring->next += count;
	return (int)count;
}

/* Sleeps until a record is published or the time is over. May return early for any reason. */
static inline void sextant_ring_wait(const struct sextant_ring *ring, int timeout_ms)
{
	const size_t at = offsetof(struct sextant_ring_header, doorbell);
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	uint64_t head;
	uint32_t bell;

	/* The check comes after the bell: a record published in between changes it. */
	if (pread(ring->fd, &bell, sizeof(bell), (off_t)at) != (ssize_t)sizeof(bell) ||
	    sextant_ring_head(ring, &head))
		return;
	if (head == ring->next && sextant_ring_writer(ring) == SEXTANT_WRITER_ALIVE)
		syscall(SYS_futex, (const char *)ring->mapping + at, FUTEX_WAIT, bell, &timeout,
			NULL, 0);
}

#endif
