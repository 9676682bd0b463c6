// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The smallest programs that use what Sextant's other programs use, one per probe of kcheck. Each
 * is loaded alone, with only the maps it needs, so that one refusal says nothing about the others.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The kernel's TASK_COMM_LEN as two words, which compare with two instructions. */
struct kcheck_comm {
	__u64 words[2];
};

/*
 * Key 0: name of the thread whose doings count. It is random, and unlike a thread id it is the
 * same in every PID namespace. Written by kcheck before it attaches, read by hooks; never full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kcheck_comm);
} kcheck_whose SEC(".maps");

/* Key 0: the trace that a program leaves. Written by programs, read by kcheck; never full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} kcheck_trace SEC(".maps");

/* Any key and value. Filled by kcheck, walked by `for_each`; entries beyond are refused. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, __u64);
} kcheck_walked SEC(".maps");

/* One __u64. Written by `output`, read by kcheck; a record that finds no room is missed there. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024); /* a multiple of every page size */
} kcheck_records SEC(".maps");

static __always_inline __u64 *trace_word(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kcheck_trace, &zero);
}

/* Counts a hook's call if it comes from kcheck's own thread. */
static __always_inline int count_if_ours(void)
{
	struct kcheck_comm current = {};
	struct kcheck_comm *ours;
	__u32 zero = 0;
	__u64 *word;

	ours = bpf_map_lookup_elem(&kcheck_whose, &zero);
	word = trace_word();
	if (!ours || !word || bpf_get_current_comm(&current, sizeof(current)))
		return 0;
	if (current.words[0] == ours->words[0] && current.words[1] == ours->words[1])
		__sync_fetch_and_add(word, 1);
	return 0;
}

SEC("raw_tp/net_dev_queue")
int on_net_dev_queue(void *ctx)
{
	return count_if_ours();
}

/* Reached through a pointer in udp_prot, so never inlined, and in every kernel with IPv4. */
SEC("kprobe/udp_sendmsg")
int on_udp_sendmsg(void *ctx)
{
	return count_if_ours();
}

SEC("kprobe/__nf_conntrack_confirm")
int on_nf_conntrack_confirm(void *ctx)
{
	return count_if_ours();
}

SEC("fentry/udp_sendmsg")
int enter_udp_sendmsg(void *ctx)
{
	return count_if_ours();
}

/* The programs below are never attached: kcheck runs them, with one argument. */

SEC("raw_tp")
int run(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 *word = trace_word();

	if (word)
		*word = ctx->args[0];
	return 0;
}

/* Stores what bpf_probe_read_kernel found at the word's address, with every bit flipped. */
SEC("raw_tp")
int read_kernel(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 *word = trace_word();
	__u64 found = 0;

	if (!word)
		return 0;
	*word = ctx->args[0];
	if (!bpf_probe_read_kernel(&found, sizeof(found), word))
		*word = ~found;
	return 0;
}

static long add_value(void *map, const void *key, __u64 *value, __u64 *sum)
{
	*sum += *value;
	return 0;
}

SEC("raw_tp")
int for_each(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 *word = trace_word();
	__u64 sum = 0;

	bpf_for_each_map_elem(&kcheck_walked, add_value, &sum, 0);
	if (word)
		*word = sum;
	return 0;
}

SEC("raw_tp")
int output(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 record = ctx->args[0];

	bpf_ringbuf_output(&kcheck_records, &record, sizeof(record), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
