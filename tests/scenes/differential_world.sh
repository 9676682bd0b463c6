#!/bin/sh
# The namespaces of the differential test, nothing outside them.
#
#   differential_world.sh up PREFIX SECONDS   make them; connections of the router expire after about so many seconds
#   differential_world.sh down PREFIX         remove them; no error if they are gone already
#
#    client, client2                 router                          server
#    10.81.1.2 .3 ──── lan 10.81.1.1   10.81.2.1 uplink ──── 10.81.2.254    10.81.3.1 to .5
#    fd81:1::2 ::3     fd81:1::1       fd81:2::1             fd81:2::254    fd81:3::1 to ::5
#    10.81.1.2 ─────── lan2                                  10.84.0.0/16, fd84::/64: dropped unseen
#    pod1, pod2
#    10.81.5.2 .3 ──── br0 10.81.5.1, whose packets pass the router's own rules (br_netfilter), if the kernel can
#
# Prints a line for each thing that this kernel lacks: `lacks bridge`, `lacks tftp`, `lacks synproxy`.
# Runs under dash, also as the only shell of a guest. Exit 0, 2 on wrong usage, else what failed.
set -eu

usage() {
	echo "usage: differential_world.sh up PREFIX SECONDS | down PREFIX" >&2
	exit 2
}
[ $# -ge 2 ] || usage
prefix=$2
here=$(dirname "$0")

in_ns() { # NAME COMMAND…
	ns=$prefix-$1
	shift
	ip netns exec "$ns" "$@"
}
# Files of /proc/sys/net, all by one process. Not every kernel has each; one that is needed shows in a flow that fails.
set_sys() { # NAME FILE=VALUE…
	name=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	in_ns "$name" sh -c 'for setting; do
		file=/proc/sys/net/${setting%%=*}
		[ ! -e "$file" ] || echo "${setting#*=}" >"$file"
	done' sh "$@"
}
link() { # NAME DEVICE NAME DEVICE: made in place, so that none ever shows up in the host
	ip link add "$2" netns "$prefix-$1" type veth peer name "$4" netns "$prefix-$3"
}
address() { # NAME DEVICE ADDRESS…
	name=$1 device=$2
	shift 2
	{
		echo "link set $device up"
		for one; do
			case $one in
			*:*) echo "addr add $one dev $device nodad" ;;
			*) echo "addr add $one dev $device" ;;
			esac
		done
	} | ip -n "$prefix-$name" -batch -
}
route() { # NAME ROUTE…
	ns=$prefix-$1
	shift
	case $* in
	*:*) ip -n "$ns" -6 route add "$@" ;;
	*) ip -n "$ns" route add "$@" ;;
	esac
}

up() {
	for one in client client2 router server pod1 pod2; do
		ip netns add "$prefix-$one"
		ip -n "$prefix-$one" link set lo up
		# Ports of sockets that were not given one stay away from those of the test, and every refusal is answered.
		set_sys $one ipv4/conf/all/rp_filter=0 ipv4/conf/default/rp_filter=0 \
			ipv6/conf/all/accept_dad=0 ipv6/conf/default/accept_dad=0 \
			ipv6/conf/all/accept_ra=0 ipv6/conf/default/accept_ra=0 \
			"ipv4/ip_local_port_range=61000 65000" ipv4/icmp_ratelimit=0 ipv6/icmp/ratelimit=0
	done
	link client eth0 router lan
	link client2 eth0 router lan2
	link router uplink server eth0
	address client eth0 10.81.1.2/24 10.81.1.3/24 fd81:1::2/64 fd81:1::3/64
	address client2 eth0 10.81.1.2/32
	address router lan 10.81.1.1/24 fd81:1::1/64
	address router lan2 10.81.9.1/24
	address router uplink 10.81.2.1/24 10.81.2.77/24 fd81:2::1/64 fd81:2::77/64
	address server eth0 10.81.2.254/24 fd81:2::254/64
	address server lo 10.81.3.1/32 10.81.3.2/32 10.81.3.3/32 10.81.3.4/32 10.81.3.5/32 \
		fd81:3::1/128 fd81:3::2/128 fd81:3::3/128 fd81:3::4/128 fd81:3::5/128
	set_sys server ipv4/ip_forward=1 ipv6/conf/all/forwarding=1
	# The router answers for a client that is not on lan2's own network.
	set_sys router ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 ipv4/conf/lan2/proxy_arp=1
	route server blackhole 10.84.0.0/16
	route server blackhole fd84::/64
	route client default via 10.81.1.1
	route client default via fd81:1::1
	route client2 10.81.9.1/32 dev eth0
	route client2 default via 10.81.9.1
	route router default via 10.81.2.254
	route router default via fd81:2::254
	route router unreachable 10.81.6.0/24
	route router unreachable fd81:6::/64
	route router blackhole 10.81.7.0/24
	route router blackhole fd81:7::/64
	route router prohibit 10.81.8.0/24
	route router prohibit fd81:8::/64
	route server default via 10.81.2.1
	route server default via fd81:2::1

	bridge || echo "lacks bridge"
	in_ns router nft -f "$here/differential.nft"
	in_ns router nft -f - 2>/dev/null <<-'RULES' || echo "lacks tftp"
		table inet world {
			ct helper tftp { type "tftp" protocol udp; }
			chain expect {
				type filter hook prerouting priority filter;
				udp dport 69 ct helper set "tftp"
			}
		}
	RULES
	in_ns router nft -f - 2>/dev/null <<-'RULES' || echo "lacks synproxy"
		table inet world {
			chain cookies {
				type filter hook forward priority filter + 5;
				tcp dport 7501 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
				tcp dport 7501 ct state invalid drop
			}
		}
	RULES
	expire "$1"
}

bridge() {
	ip -n "$prefix-router" link add br0 type bridge mcast_snooping 0 2>/dev/null || return 1
	modprobe br_netfilter 2>/dev/null || true
	[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || return 1
	# Its own switch, since the system's need not be on.
	ip -n "$prefix-router" link set dev br0 type bridge nf_call_iptables 1 2>/dev/null || return 1
	address router br0 10.81.5.1/24
	for number in 1 2; do
		link pod$number eth0 router port$number
		ip -n "$prefix-router" link set dev port$number master br0
		ip -n "$prefix-router" link set dev port$number type bridge_slave hairpin on
		ip -n "$prefix-router" link set dev port$number up
		address pod$number eth0 10.81.5.$((number + 1))/24
		route pod$number default via 10.81.5.1
	done
}

# A packet on a connection that has ended must not begin another one.
expire() {
	settings=
	for setting in udp_timeout udp_timeout_stream icmp_timeout icmpv6_timeout generic_timeout gre_timeout \
		gre_timeout_stream tcp_timeout_syn_sent tcp_timeout_syn_recv tcp_timeout_close_wait \
		tcp_timeout_fin_wait tcp_timeout_last_ack tcp_timeout_time_wait tcp_timeout_close; do
		settings="$settings netfilter/nf_conntrack_$setting=$1"
	done
	# shellcheck disable=SC2086 # a list
	set_sys router $settings netfilter/nf_conntrack_tcp_loose=0 \
		netfilter/nf_conntrack_tcp_timeout_established=$((10 * $1))
}

# A namespace that is still in use goes when its last process ends; its name goes now.
down() {
	for name in client client2 router server pod1 pod2; do
		[ ! -e "/run/netns/$prefix-$name" ] || ip netns del "$prefix-$name"
	done
}

case $1 in
up)
	[ $# -eq 3 ] || usage
	trap down EXIT
	up "$3"
	trap - EXIT
	;;
down) down ;;
*) usage ;;
esac
