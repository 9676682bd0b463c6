#!/bin/sh
# A client, a NAT router and a server as network namespaces of this machine, nothing outside them.
#
#   lab.sh up PREFIX      make PREFIX-client, PREFIX-router, PREFIX-server
#   lab.sh down PREFIX    remove them; no error if they are gone already
#
#    client                    router (NAT)                         server
#    10.77.1.2 ───────── 10.77.1.1    10.77.2.1 ───────── 10.77.2.254  (the gateway)
#    fd77:1::2           fd77:1::1    fd77:2::1           fd77:2::254
#                        lan          uplink              10.77.3.2, fd77:3::2 (the real server)
#                                                         10.77.4.0/24 (a sink: dropped unseen)
#
# The client calls 10.96.0.10 or fd77:96::10, ports 80/tcp and 53/udp. The router sends that to
# the real server, ports 8080 and 5353 (DNAT), as coming from its uplink (masquerade).
#
# Runs under dash, also as the only shell of a guest. Exit 0, 2 on wrong usage, else what failed.
set -eu

usage() {
	echo "usage: lab.sh up|down PREFIX" >&2
	exit 2
}

[ $# -eq 2 ] || usage
client=$2-client router=$2-router server=$2-server

in_ns() {
	ns=$1
	shift
	ip netns exec "$ns" "$@"
}

# Ends of a veth pair can be made in place, so that no interface ever shows up in the host.
link() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
}

address() {
	ip -n "$1" addr add "$3" dev "$2"
	ip -n "$1" addr add "$4" dev "$2" nodad
	ip -n "$1" link set "$2" up
}

up() {
	for ns in "$client" "$router" "$server"; do
		ip netns add "$ns"
		ip -n "$ns" link set lo up
	done
	link "$client" eth0 "$router" lan
	link "$router" uplink "$server" eth0
	address "$client" eth0 10.77.1.2/24 fd77:1::2/64
	address "$router" lan 10.77.1.1/24 fd77:1::1/64
	address "$router" uplink 10.77.2.1/24 fd77:2::1/64
	address "$server" eth0 10.77.2.254/24 fd77:2::254/64
	address "$server" lo 10.77.3.2/32 fd77:3::2/128
	ip -n "$server" route add blackhole 10.77.4.0/24

	ip -n "$client" route add default via 10.77.1.1
	ip -n "$client" -6 route add default via fd77:1::1
	ip -n "$router" route add default via 10.77.2.254
	ip -n "$router" -6 route add default via fd77:2::254
	in_ns "$router" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	in_ns "$server" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

	in_ns "$router" nft -f - <<-'RULES'
		table inet nat {
			chain prerouting {
				type nat hook prerouting priority dstnat
				ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.77.3.2:8080
				ip daddr 10.96.0.10 udp dport 53 dnat ip to 10.77.3.2:5353
				ip6 daddr fd77:96::10 tcp dport 80 dnat ip6 to [fd77:3::2]:8080
				ip6 daddr fd77:96::10 udp dport 53 dnat ip6 to [fd77:3::2]:5353
			}
			chain postrouting {
				type nat hook postrouting priority srcnat
				oifname "uplink" masquerade
			}
		}
	RULES
}

# A namespace that is still in use goes when its last process ends; its name goes now.
down() {
	for ns in "$client" "$router" "$server"; do
		[ ! -e "/run/netns/$ns" ] || ip netns del "$ns"
	done
}

case $1 in
up)
	trap down EXIT
	up
	trap - EXIT
	;;
down) down ;;
*) usage ;;
esac
