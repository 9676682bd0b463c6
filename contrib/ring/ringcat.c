/* SPDX-License-Identifier: (MIT OR Apache-2.0) */
/*
 * ringcat [-f] FILE: prints the records that are in a ring now, one per line, and the number that
 * it missed. With -f it goes on until the writer ends. A complete reader in C, to start from.
 *
 * Exit 0, or 1 with one line on stderr: FILE is not a ring, is damaged while it is read, or its
 * writer dies (with -f).
 *
 *	cc -I bpf/include -o ringcat contrib/ring/ringcat.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sextant_ring_reader.h"

#define BATCH 64

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

/* Prints what there is until `end`, or what comes until the writer ends. Returns what went wrong.
 */
static const char *print_all(struct sextant_ring *ring, uint64_t end, int follow)
{
	static struct sextant_record records[BATCH];
	enum sextant_writer writer;
	uint64_t before;
	int count;

	while (follow || ring->next < end) {
		writer = sextant_ring_writer(ring);
		before = ring->next;
		count = sextant_ring_read(ring, records, BATCH);
		if (count < 0)
			return "was cut short or overwritten by another process";
		for (int i = 0; i < count; i++)
			print(&records[i]);
		if (ring->next != before)
			continue;
		if (writer == SEXTANT_WRITER_CLOSED || !follow)
			break;
		if (writer == SEXTANT_WRITER_DIED)
			return "is of a writer that died without closing it";
		/* Whoever reads this wants what there is before this sleeps. */
		fflush(stdout);
		sextant_ring_wait(ring, 100);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int follow = argc == 3 && !strcmp(argv[1], "-f");
	struct sextant_ring ring;
	const char *wrong;
	uint64_t end = 0;

	if (argc != 2 + follow)
		return fprintf(stderr, "usage: ringcat [-f] FILE\n"), 1;
	wrong = sextant_ring_open(&ring, argv[argc - 1]);
	if (wrong)
		return fprintf(stderr, "ringcat: %s: %s\n", argv[argc - 1], wrong), 1;
	wrong = sextant_ring_head(&ring, &end) ? "was cut short" : print_all(&ring, end, follow);
	printf("missed %" PRIu64 "\n", ring.missed);
	fflush(stdout);
	if (wrong)
		fprintf(stderr, "ringcat: %s %s\n", argv[argc - 1], wrong);
	sextant_ring_close(&ring);
	return wrong != NULL;
}
