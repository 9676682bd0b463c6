#!/bin/sh
# Loads the modules that a router's own rules would load. Some kernels have them built in, some lack a few. The
# programs under test load nothing by themselves.
for module in nf_conntrack nf_conntrack_netlink nf_tables nft_ct nft_nat nft_chain_nat nft_masq \
	ip_tables ip6_tables iptable_raw ip6table_raw iptable_filter ip6table_filter xt_CT xt_conntrack; do
	modprobe "$module" 2>/dev/null || true
done

# Without namespaces there is only the host's own, whose rules guesser does not change: make it a router here.
if ! [ -e /proc/self/ns/net ]; then
	nft add table ip router
	nft add chain ip router out '{ type filter hook output priority 0 ; }'
	nft add rule ip router out ct state new counter
fi
