/*
 * The tables of shared::xtables, written with the kernel's own structures: the name of one comes
 * in, its bytes go out.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter_ipv4/ip_tables.h>

static _Alignas(8) char bytes[4096];
static struct ipt_replace *const table = (struct ipt_replace *)bytes;
static struct ipt_entry *entry;

static void begin(const char *name, unsigned int hooks)
{
	strcpy(table->name, name);
	table->valid_hooks = hooks;
	table->num_counters = __builtin_popcount(hooks) + 1;
	table->counters = (struct xt_counters *)0x1122334455667788;
}

static void begin_entry(void)
{
	entry = (struct ipt_entry *)((char *)table->entries + table->size);
	entry->next_offset = sizeof(*entry);
}

static void add_match(const char *name, int revision, const void *info, int size)
{
	struct xt_entry_match *match = (void *)entry + entry->next_offset;

	strcpy(match->u.user.name, name);
	match->u.user.revision = revision;
	match->u.match_size = XT_ALIGN(sizeof(*match) + size);
	memcpy(match->data, info, size);
	entry->next_offset += match->u.match_size;
}

static void end_entry(const char *name, int revision, const void *info, int size)
{
	struct xt_entry_target *target = (void *)entry + entry->next_offset;

	strcpy(target->u.user.name, name);
	target->u.user.revision = revision;
	target->u.target_size = XT_ALIGN(sizeof(*target) + size);
	memcpy((char *)target + sizeof(*target), info, size);
	entry->target_offset = entry->next_offset;
	entry->next_offset += target->u.target_size;
	table->size += entry->next_offset;
	table->num_entries++;
}

static void accept_all(void)
{
	int verdict = -NF_ACCEPT - 1;

	end_entry(XT_STANDARD_TARGET, 0, &verdict, sizeof(verdict));
}

/* Nothing but the policy, or the policy behind the rules that were added since `first`. */
static void end_hook(int hook, unsigned int first)
{
	table->hook_entry[hook] = first;
	table->underflow[hook] = table->size;
	begin_entry();
	accept_all();
}

/* Statics, since the padding of an automatic variable may be anything. */
static void match_mark(__u32 mark, __u32 mask, int invert)
{
	static struct xt_mark_mtinfo1 info;

	info.mark = mark;
	info.mask = mask;
	info.invert = invert;
	begin_entry();
	add_match("mark", 1, &info, sizeof(info));
}

static void filter(void)
{
	struct xt_conntrack_mtinfo1 info = {0};
	unsigned int first;

	begin("filter", 1 << NF_INET_LOCAL_IN | 1 << NF_INET_FORWARD | 1 << NF_INET_LOCAL_OUT);
	end_hook(NF_INET_LOCAL_IN, table->size);
	end_hook(NF_INET_FORWARD, table->size);
	first = table->size;
	begin_entry();
	add_match("conntrack", 1, &info, sizeof(info));
	accept_all();
	end_hook(NF_INET_LOCAL_OUT, first);
}

static void raw(void)
{
	static const struct xt_ct_target_info_v1 info = {.flags = XT_CT_ZONE_MARK |
								  XT_CT_ZONE_DIR_ORIG};
	unsigned int first;

	begin("raw", 1 << NF_INET_PRE_ROUTING | 1 << NF_INET_LOCAL_OUT);
	end_hook(NF_INET_PRE_ROUTING, table->size);
	first = table->size;
	match_mark(0, 0xffff, 1);
	end_entry("CT", 2, &info, sizeof(info));
	end_hook(NF_INET_LOCAL_OUT, first);
}

static void mangle(void)
{
	static const struct xt_connmark_tginfo1 save = {
		.ctmask = ~0, .nfmask = ~0, .mode = XT_CONNMARK_SAVE};
	static const struct xt_connmark_tginfo1 xor = {
							    .ctmark = 0x13579bdf,
							    .nfmask = ~0,
							    .mode = XT_CONNMARK_SET,
						    };
	unsigned int first;

	begin("mangle", (1 << NF_INET_NUMHOOKS) - 1);
	for (int hook = NF_INET_PRE_ROUTING; hook < NF_INET_LOCAL_OUT; hook++)
		end_hook(hook, table->size);
	first = table->size;
	match_mark(0, ~0, 1);
	end_entry("CONNMARK", 1, &save, sizeof(save));
	match_mark(0, ~0, 1);
	end_entry("CONNMARK", 1, &xor, sizeof(xor));
	end_hook(NF_INET_LOCAL_OUT, first);
	end_hook(NF_INET_POST_ROUTING, table->size);
}

static void rewrite(const char *target, __u32 mark, __u32 mask, const char *addr, int port)
{
	struct nf_nat_ipv4_multi_range_compat nat = {.rangesize = 1};
	struct nf_nat_ipv4_range *range = &nat.range[0];

	range->flags = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
	range->min_ip = range->max_ip = inet_addr(addr);
	range->min.udp.port = range->max.udp.port = htons(port);
	match_mark(mark, mask, 0);
	end_entry(target, 0, &nat, sizeof(nat));
}

static void nat(void)
{
	unsigned int first;

	begin("nat", 1 << NF_INET_PRE_ROUTING | 1 << NF_INET_LOCAL_IN | 1 << NF_INET_LOCAL_OUT |
			     1 << NF_INET_POST_ROUTING);
	end_hook(NF_INET_PRE_ROUTING, table->size);
	end_hook(NF_INET_LOCAL_IN, table->size);
	first = table->size;
	rewrite("DNAT", 0x00010000, 0x00ff0000, "127.1.2.3", 4567);
	rewrite("DNAT", 0x00020000, 0x00ff0000, "127.1.2.4", 4568);
	end_hook(NF_INET_LOCAL_OUT, first);
	first = table->size;
	rewrite("SNAT", 0x01000000, 0xff000000, "127.5.6.7", 8901);
	end_hook(NF_INET_POST_ROUTING, first);
}

int main(int argc, char **argv)
{
	char error[XT_FUNCTION_MAXNAMELEN] = XT_ERROR_TARGET;

	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "filter"))
		filter();
	else if (!strcmp(argv[1], "raw"))
		raw();
	else if (!strcmp(argv[1], "mangle"))
		mangle();
	else if (!strcmp(argv[1], "nat"))
		nat();
	begin_entry();
	end_entry(XT_ERROR_TARGET, 0, error, sizeof(error));
	return fwrite(bytes, sizeof(*table) + table->size, 1, stdout) != 1;
}
