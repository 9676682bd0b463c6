// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * How other programs find offsets, for comparison: each event of the watched program reads one
 * value at one offset that user space has chosen. Only the benchmark loads this.
 *
 * The other programs attach kprobes; these are raw tracepoints, which cost less.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "one_candidate_wire.h"

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
};

/* The lowest three bits of sk_buff._nfct are the packet's state. */
#define NFCT_POINTER (~7ULL)

/* The hooks of other programs get the nf_conn itself; here a packet leads to it. */
const volatile __u32 off_nfct = 0;

/*
 * Key: 0. Value: a candidate and the value at its offset. User space writes it before each event
 * and reads it afterwards; a program answers once. When full: never, it has one entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct one_status);
} mailbox SEC(".maps");

static __always_inline int is_watched(const struct one_status *status)
{
	__u8 comm[ONE_COMM_BYTES] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < ONE_COMM_BYTES; i++) {
		if (comm[i] != status->comm[i])
			return 0;
	}
	return 1;
}

/* The first address from here on that is a multiple of `align`, a power of two. */
static __always_inline __u64 aligned(__u64 address, __u64 align)
{
	return (address + align - 1) & ~(align - 1);
}

/* Like the other programs, it follows every possible pointer; an unreadable address faults. */
static __always_inline void read_value(struct one_status *status, __u64 object)
{
	__u64 place = aligned(object + status->offset, status->align);
	__u64 value = 0;

	status->offset = place - object;
	if (status->follows) {
		__u64 pointer = 0;

		status->failed =
			bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)place) || !pointer;
		if (status->failed)
			return;
		place = aligned(pointer + status->inner, status->inner_align);
		status->inner = place - pointer;
	}
	if (status->bytes == sizeof(__u16))
		status->failed = !!bpf_probe_read_kernel(&value, sizeof(__u16), (void *)place);
	else
		status->failed = !!bpf_probe_read_kernel(&value, sizeof(__u32), (void *)place);
	status->value = value;
}

static __always_inline int check(enum one_object what, __u64 object)
{
	__u64 key = 0;
	struct one_status *status = bpf_map_lookup_elem(&mailbox, &key);

	if (!status || status->state != ONE_CHECKING || status->object != what ||
	    !is_watched(status))
		return 0;
	read_value(status, object);
	status->state = ONE_CHECKED;
	return 0;
}

/* inet_sock_set_state(sk, oldstate, newstate): a connection of ours is established. */
SEC("raw_tracepoint")
int on_sock_state(struct bpf_raw_tracepoint_args *ctx)
{
	if ((__u32)ctx->args[1] != TCP_SYN_SENT || (__u32)ctx->args[2] != TCP_ESTABLISHED)
		return 0;
	return check(ONE_SOCK, ctx->args[0]);
}

/* sock_recv_length(sk, ret, flags): a read from a socket has returned, with data or without. */
SEC("raw_tracepoint")
int on_receive(struct bpf_raw_tracepoint_args *ctx)
{
	return check(ONE_SOCK, ctx->args[0]);
}

/* net_dev_queue(skb) */
SEC("raw_tracepoint")
int on_packet(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 nfct = 0;

	bpf_probe_read_kernel(&nfct, sizeof(nfct), (void *)(ctx->args[0] + off_nfct));
	nfct &= NFCT_POINTER;
	return nfct ? check(ONE_NF_CONN, nfct) : 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
