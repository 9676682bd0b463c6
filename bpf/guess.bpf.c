// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Copies what user space asks for from the object that a hook shows. It knows no struct, no offset
 * and no value: user space solves, and chooses which programs to load.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "guess_wire.h"

/*
 * Key: 0. Value: a request and its answers. User space maps it, writes the request and reads the
 * answers while the programs are idle, because events of one thread are answered in its own system
 * calls. When full: further events are counted in `seen`, but not read.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct guess_exchange);
} guess_exchange SEC(".maps");

/*
 * Key: 0. Value: the program that reads, which has the type of the loaded hooks. User space writes
 * it before anything is attached, and the hooks tail-call it, so that the verifier checks the loops
 * once and not once per hook. When full: never, it has one entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} reader SEC(".maps");

static __always_inline struct guess_exchange *exchange(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&guess_exchange, &key);
}

/*
 * Finds the objects that the request describes. Only addresses in the linear map pass: the object
 * that the hook shows was allocated there, and nothing else is as near to it. Reads elsewhere,
 * where devices are mapped, could have side effects.
 */
static __always_inline void follow(const struct guess_request *request, struct guess_hit *hit)
{
	__u64 root = hit->address[0];
	__u64 span = request->span_bytes;

	for (__u32 i = 1; i < GUESS_BASES && i < request->bases; i++) {
		const struct guess_base *base = &request->base[i];
		__u64 parent = hit->address[base->parent % GUESS_BASES];
		__u64 pointer;

		/* Stores 0 if it fails, as it does for a parent that was not reached. */
		bpf_probe_read_kernel(&pointer, sizeof(pointer),
				      (const void *)(parent + base->offset));
		pointer &= ~base->tag_mask;
		hit->address[i] = pointer - root + span < 2 * span ? pointer : 0;
	}
}

/* Without a branch per piece, so that the verifier follows one path only. */
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

/* Reads what the request describes into the hit that a hook began. */
static __always_inline int capture(void)
{
	struct guess_exchange *shared = exchange();
	struct guess_hit *hit;
	__u32 index;

	if (!shared)
		return 0;
	index = shared->request.current;
	if (index >= GUESS_HITS)
		return 0;
	hit = &shared->hit[index];
	follow(&shared->request, hit);
	read_pieces(&shared->request, hit);
	hit->token = shared->request.token;
	return 0;
}

SEC("raw_tracepoint")
int capture_traced(void *ctx)
{
	return capture();
}

SEC("kprobe")
int capture_called(void *ctx)
{
	return capture();
}

/*
 * Begins a hit if this event of this thread is requested. An interrupt may bring another event of
 * the thread before the first is read. Then the second is read twice, and the first keeps no token,
 * by which user space recognises this.
 */
static __always_inline int is_asked_for(enum guess_event event, __u64 root)
{
	struct guess_exchange *shared = exchange();
	struct guess_request *request;
	__u32 index;

	if (!shared)
		return 0;
	request = &shared->request;
	if (!request->token || request->event != event ||
	    request->pid_tgid != bpf_get_current_pid_tgid())
		return 0;
	index = request->seen++;
	if (index >= GUESS_HITS)
		return 0;
	shared->hit[index].address[0] = root;
	request->current = index;
	return 1;
}

static __always_inline int show(void *ctx, enum guess_event event, __u64 object)
{
	if (is_asked_for(event, object))
		bpf_tail_call(ctx, &reader, 0);
	return 0;
}

/*
 * Only for a test run: notes the calling thread's id as the kernel knows it, independently of the
 * pid namespace.
 */
SEC("raw_tracepoint")
int learn_thread(void *ctx)
{
	struct guess_exchange *shared = exchange();

	if (shared)
		shared->request.pid_tgid = bpf_get_current_pid_tgid();
	return 0;
}

SEC("raw_tracepoint")
int on_trace_packet(struct bpf_raw_tracepoint_args *ctx)
{
	return show(ctx, GUESS_PACKET, ctx->args[0]);
}

SEC("raw_tracepoint")
int on_trace_sock_state(struct bpf_raw_tracepoint_args *ctx)
{
	return show(ctx, GUESS_SOCK_STATE, ctx->args[0]);
}

/* fib_table_lookup(tb_id, flowi4, …) */
SEC("raw_tracepoint")
int on_trace_route4(struct bpf_raw_tracepoint_args *ctx)
{
	return show(ctx, GUESS_ROUTE4, ctx->args[1]);
}

/* fib6_table_lookup(net, result, table, flowi6) */
SEC("raw_tracepoint")
int on_trace_route6(struct bpf_raw_tracepoint_args *ctx)
{
	return show(ctx, GUESS_ROUTE6, ctx->args[3]);
}

SEC("kprobe")
int on_call_packet_first(struct pt_regs *ctx)
{
	return show(ctx, GUESS_PACKET, PT_REGS_PARM1(ctx));
}

SEC("kprobe")
int on_call_sock_state_first(struct pt_regs *ctx)
{
	return show(ctx, GUESS_SOCK_STATE, PT_REGS_PARM1(ctx));
}

SEC("kprobe")
int on_call_route4_second(struct pt_regs *ctx)
{
	return show(ctx, GUESS_ROUTE4, PT_REGS_PARM2(ctx));
}

SEC("kprobe")
int on_call_route6_second(struct pt_regs *ctx)
{
	return show(ctx, GUESS_ROUTE6, PT_REGS_PARM2(ctx));
}

SEC("kprobe")
int on_call_route6_third(struct pt_regs *ctx)
{
	return show(ctx, GUESS_ROUTE6, PT_REGS_PARM3(ctx));
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
