// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Runs the programs of conntrack.bpf.c on fake kernel objects, each through BPF_PROG_TEST_RUN. Only
 * tests/src/bin/lifecycle loads this. It includes the source, so what it runs is what conntrack
 * runs.
 *
 * Only raw tracepoint programs can be run so. A program that conntrack attaches otherwise has one
 * here that passes it registers or arguments as its hook would. `flatten` inlines it, since a
 * program cannot call another one.
 */
#include "conntrack.bpf.c"
#include "timing.h"

#define RUNS(program) \
	SEC("raw_tp") __attribute__((flatten)) int program(struct bpf_raw_tracepoint_args *ctx)

#ifdef __TARGET_ARCH_arm64
typedef struct user_pt_regs registers;
#else
typedef struct pt_regs registers;
#endif

/* Fake sk_buff, nf_conn and net, written by user space, which knows where they are after `learn`.
 */
__u8 fake_memory[16384] __attribute__((aligned(8)));
__u64 fake_address;
__u64 jiffies_now;
/* What a program under test returned or made, if its own return value is too narrow. */
__u64 outcome;
__u64 outcomes[256];

RUNS(learn)
{
	fake_address = (__u64)fake_memory;
	jiffies_now = bpf_jiffies64();
	return 0;
}

/* A function is entered with argument args[0] and stack pointer args[1]. */
#define ENTERS(name, program)                            \
	RUNS(name)                                       \
	{                                                \
		registers regs = {};                     \
                                                         \
		regs.__PT_PARM1_REG = ctx->args[0];      \
		regs.__PT_SP_REG = ctx->args[1];         \
		return program((struct pt_regs *)&regs); \
	}

/* It returns args[0]. */
#define RETURNS(name, program)                           \
	RUNS(name)                                       \
	{                                                \
		registers regs = {};                     \
                                                         \
		regs.__PT_RC_REG = ctx->args[0];         \
		regs.__PT_SP_REG = ctx->args[1];         \
		return program((struct pt_regs *)&regs); \
	}

/* Argument and result of the function are args[0] and args[1], as for fexit. */
#define TRACES(name, program)                 \
	RUNS(name)                            \
	{                                     \
		return program((__u64 *)ctx); \
	}

ENTERS(run_on_confirm, on_confirm)
RETURNS(run_on_confirmed, on_confirmed)
TRACES(run_after_confirm, after_confirm)
ENTERS(run_on_insert, on_insert)
RETURNS(run_on_inserted, on_inserted)
TRACES(run_after_insert, after_insert)
ENTERS(run_on_destroy, on_destroy)
TRACES(run_before_destroy, before_destroy)

/* What a return finds, on its own: `outcome` is the argument. */
RUNS(run_enter_call)
{
	enter_call(ctx->args[0], 0, ctx->args[1]);
	return 0;
}

RUNS(run_leave_call)
{
	__u64 unused;

	outcome = leave_call(ctx->args[0], &unused);
	return 0;
}

/* No test can make the kernel refuse an entry for want of a lock, so this is told the errno. */
RUNS(run_count_refused)
{
	struct flow6_key key;
	struct flow6 flow;

	if (read_flow(ctx->args[0], &key, &flow) == FOUND_IPV4)
		count_refused(&key, &flow, -(int)ctx->args[1], V4_WORDS);
	return 0;
}

/*
 * Claims the entry of an IPv4 connection under the id args[1], as a program would that read the
 * entry a while ago; `outcome` is the id of what it got.
 */
RUNS(run_claim)
{
	struct flow6 flow, *claimed;
	struct flow6_key key;

	outcome = 0;
	if (read_flow(ctx->args[0], &key, &flow) != FOUND_IPV4)
		return 0;
	claimed = claim(&key, ctx->args[1], V4_WORDS);
	if (claimed) {
		outcome = claimed->ct_id;
		release(ctx->args[1]);
	}
	return 0;
}

/* Draws ids in lane args[0] until `outcomes` is full. */
RUNS(run_draw_id)
{
	for (int i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		outcomes[i] = draw_id(ctx->args[0]);
	return 0;
}

RUNS(run_hide)
{
	outcome = hide(ctx->args[0]);
	return 0;
}

RUNS(run_reveal)
{
	outcome = reveal(ctx->args[0]);
	return 0;
}

/* A record of type 0, to fill the ring buffer; non-zero when it is full. */
RUNS(fill_ring)
{
	struct sextant_record *record = reserve_record();

	if (!record)
		return 1;
	__builtin_memset(record, 0, EVENT_BYTES);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}
