/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * ringcat FILE: prints the records that are in a ring now, one per line, and how many it missed.
 * A minimal complete reader in C, as a starting point. Exit 0, or 1 if FILE is not a ring.
 *
 *	cc -I bpf/include -o ringcat contrib/ring/ringcat.c
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "sextant_ring.h"

static void print(const struct sextant_record *r)
{
	static const char *const types[] = {"?", "new", "update", "destroy", "dump", "loss"};
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], real[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, r->orig_src, src, sizeof(src));
	inet_ntop(AF_INET6, r->orig_dst, dst, sizeof(dst));
	inet_ntop(AF_INET6, r->reply_src, real, sizeof(real));
	printf("%s id=%" PRIu64 " proto=%u %s.%u > %s.%u real %s.%u\n",
	       types[r->type <= SEXTANT_LOSS ? r->type : 0], (uint64_t)r->ct_id, r->proto, src,
	       r->orig_sport, dst, r->orig_dport, real, r->reply_sport);
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	const struct sextant_ring_header *ring;
	struct sextant_record record;
	uint64_t next, head, missed = 0;
	struct stat file;

	if (fd < 0 || fstat(fd, &file) || (size_t)file.st_size < sizeof(*ring))
		return fprintf(stderr, "ringcat: cannot open a ring\n"), 1;
	ring = mmap(NULL, file.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED || ring->magic != SEXTANT_RING_MAGIC ||
	    ring->abi >> 48 != SEXTANT_RING_ABI_MAJOR ||
	    sizeof(*ring) + (sizeof(record) << (uint32_t)ring->slots) > (size_t)file.st_size)
		return fprintf(stderr, "ringcat: not a ring of a known version\n"), 1;

	const struct sextant_record *slots = (const struct sextant_record *)(ring + 1);
	uint64_t count = 1ULL << (uint32_t)ring->slots;

	head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	for (next = head > count ? head - count : 0; next < head; next++) {
		if (sextant_slot_read(&slots[next % count], next, &record) == SEXTANT_SLOT_OK)
			print(&record);
		else
			missed++;
	}
	printf("missed %" PRIu64 "\n", missed);
	return 0;
}
