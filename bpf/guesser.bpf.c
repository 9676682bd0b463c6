// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Copies what user space asks for from the object that a tracepoint hands over, and knows nothing
 * of what it copies: no struct, no offset, no value. User space solves.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "guesser_wire.h"

/*
 * Key: 0. Value: a request and the answers to it. Mapped by guesser, which writes the request and
 * reads the answers, both while the program is idle: events of one thread are answered in its own
 * system calls. When full: further events are counted in `seen`, not read.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct guess_exchange);
} guess_exchange SEC(".maps");

/*
 * Finds the objects that the request describes. Only addresses in the linear map pass: the argument
 * was allocated there, and nothing else is as near to it. Reading elsewhere, where devices are
 * mapped, could do more than read.
 */
static __always_inline void follow(const struct guess_request *request, struct guess_hit *hit)
{
	__u64 root = hit->address[0];
	__u64 span = request->span_bytes;

	for (__u32 i = 1; i < GUESS_BASES && i < request->bases; i++) {
		const struct guess_base *base = &request->base[i];
		__u64 parent = hit->address[base->parent % GUESS_BASES];
		__u64 pointer;

		/* Leaves 0 if it fails, as it does for a parent that was not reached. */
		bpf_probe_read_kernel(&pointer, sizeof(pointer),
				      (const void *)(parent + base->offset));
		pointer &= ~base->tag_mask;
		hit->address[i] = pointer - root + span < 2 * span ? pointer : 0;
	}
}

/* Without a branch per piece, so that the verifier walks through once. */
static __always_inline void read_pieces(const struct guess_request *request, struct guess_hit *hit)
{
	for (__u32 i = 0; i < GUESS_PIECES; i++) {
		const struct guess_piece *piece = &request->piece[i];
		__u64 address = hit->address[piece->base % GUESS_BASES];
		__u32 bytes = piece->bytes;

		if (!bytes || bytes > GUESS_PIECE_BYTES)
			break;
		hit->failed[i] = bpf_probe_read_kernel(hit->arena[i], bytes,
						       (const void *)(address + piece->offset));
	}
}

SEC("raw_tracepoint/net_dev_queue")
int on_net_dev_queue(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 root = ctx->args[0];
	struct guess_exchange *shared;
	struct guess_request *request;
	struct guess_hit *hit;
	__u32 key = 0;
	__u32 index;

	shared = bpf_map_lookup_elem(&guess_exchange, &key);
	if (!shared)
		return 0;
	request = &shared->request;
	/* A test run: no tracepoint hands over NULL. The id is right in any pid namespace. */
	if (!root) {
		request->pid_tgid = bpf_get_current_pid_tgid();
		return 0;
	}
	if (!request->token || request->pid_tgid != bpf_get_current_pid_tgid())
		return 0;
	index = request->seen++;
	if (index >= GUESS_HITS)
		return 0;
	hit = &shared->hit[index];
	hit->address[0] = root;
	follow(request, hit);
	read_pieces(request, hit);
	hit->token = request->token;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
