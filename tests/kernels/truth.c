/*
 * Where each field of shared::offsets::Field is, told by a compiler: the only place that maps
 * Sextant's names to C.
 *
 * scripts/truth compiles this to assembly, never to code that runs, in one of two ways: inside a
 * kernel's tree, with all the flags and plugins that built the kernel, or against the types that a
 * kernel's BTF was turned into. Each field leaves one line in the assembly, "-> NAME OFFSET", or
 * "-> NAME -1" if this kernel has no such field. A member that is not here for any other reason
 * stops the compiler: only what is named as optional can be absent.
 */
#ifdef __KERNEL__
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/flow.h>
#include <net/inet_sock.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>
#else
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#define TELL(name, offset) asm volatile("\n.ascii \"-> " name " %c0\"" : : "i"(offset))

/* possible_net_t stays a member without namespaces, and has no bytes then. */
#define FIELD(name, type, member) \
	TELL(name, sizeof(((struct type *)0)->member) ? (long)offsetof(struct type, member) : -1L)

#define ABSENT(name) TELL(name, -1L)

/* Called by nobody; a static one would be dropped. */
void truth(void);

void truth(void)
{
	FIELD("sk_buff.sk", sk_buff, sk);
	FIELD("sk_buff.head", sk_buff, head);
	FIELD("sk_buff.transport_header", sk_buff, transport_header);
	FIELD("sk_buff.network_header", sk_buff, network_header);
	FIELD("sk_buff.mac_header", sk_buff, mac_header);
#if defined(CONFIG_NF_CONNTRACK) || defined(CONFIG_NF_CONNTRACK_MODULE)
	FIELD("sk_buff._nfct", sk_buff, _nfct);
#else
	ABSENT("sk_buff._nfct");
#endif

	FIELD("nf_conn.tuplehash[0].tuple", nf_conn, tuplehash[0].tuple);
	FIELD("nf_conn.tuplehash[1].tuple", nf_conn, tuplehash[1].tuple);
	FIELD("nf_conn.status", nf_conn, status);
	FIELD("nf_conn.timeout", nf_conn, timeout);
	FIELD("nf_conn.ct_net", nf_conn, ct_net);
#ifdef CONFIG_NF_CONNTRACK_MARK
	FIELD("nf_conn.mark", nf_conn, mark);
#else
	ABSENT("nf_conn.mark");
#endif
#ifdef CONFIG_NF_CONNTRACK_ZONES
	FIELD("nf_conn.zone", nf_conn, zone);
#else
	ABSENT("nf_conn.zone");
#endif
	FIELD("net.ns.inum", net, ns.inum);

	FIELD("sock.skc_daddr", sock, __sk_common.skc_daddr);
	FIELD("sock.skc_rcv_saddr", sock, __sk_common.skc_rcv_saddr);
	FIELD("sock.skc_dport", sock, __sk_common.skc_dport);
	FIELD("sock.skc_num", sock, __sk_common.skc_num);
	FIELD("sock.skc_family", sock, __sk_common.skc_family);
	FIELD("sock.skc_net", sock, __sk_common.skc_net);
#if defined(CONFIG_IPV6) || defined(CONFIG_IPV6_MODULE)
	FIELD("sock.skc_v6_daddr", sock, __sk_common.skc_v6_daddr);
	FIELD("sock.skc_v6_rcv_saddr", sock, __sk_common.skc_v6_rcv_saddr);
#else
	ABSENT("sock.skc_v6_daddr");
	ABSENT("sock.skc_v6_rcv_saddr");
#endif
	FIELD("inet_sock.inet_saddr", inet_sock, inet_saddr);
	FIELD("inet_sock.inet_sport", inet_sock, inet_sport);
	FIELD("tcp_sock.srtt_us", tcp_sock, srtt_us);
	FIELD("tcp_sock.mdev_us", tcp_sock, mdev_us);
	FIELD("socket.sk", socket, sk);

	FIELD("flowi4.saddr", flowi4, saddr);
	FIELD("flowi4.daddr", flowi4, daddr);
	FIELD("flowi4.fl4_sport", flowi4, uli.ports.sport);
	FIELD("flowi4.fl4_dport", flowi4, uli.ports.dport);
	FIELD("flowi6.saddr", flowi6, saddr);
	FIELD("flowi6.daddr", flowi6, daddr);
	FIELD("flowi6.fl6_sport", flowi6, uli.ports.sport);
	FIELD("flowi6.fl6_dport", flowi6, uli.ports.dport);
}
