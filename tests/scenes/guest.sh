#!/bin/sh
# The whole pipeline in a guest that scripts/vm booted: the network of lab.sh, the static programs from
# /sextant, one call of each kind. For tests/tests/guest.rs.
#
#   guest.sh SOURCE     tracepoint, kprobe or fentry
#
# Prints lines of two columns, a tab between them: `kernel` its release, `guess` and `btf` the offsets
# as JSON, `call` who called what, `oracle` the entries of conntrack-tools, `record` the records, and
# `hook` which hooks were chosen. A connection from 10.9.9.9 is inserted by hand.
set -eu
source=$1
PATH=/sextant:$PATH
conntrack_tools=/usr/sbin/conntrack

emit() { # KIND: each line of stdin
	while IFS= read -r line; do printf '%s\t%s\n' "$1" "$line"; done
}

# An operator's own rules load these on a router; the programs themselves load nothing.
for module in nf_conntrack_netlink nft_ct nft_nat nft_chain_nat nft_masq; do modprobe "$module"; done
uname -r | emit kernel

guesser --method guess --format json | emit guess
guesser --method btf --format json | emit btf

/scenes/lab.sh up lab
mkfifo hold served ready
ip netns exec lab-server traffic serve tcp:10.77.3.2:8080 udp:10.77.3.2:5353 \
	'tcp:[fd77:3::2]:8080' 'udp:[fd77:3::2]:5353' <hold >served &
exec 4>hold
read -r _ <served

{ kcheck >&2 && guesser | sh -c "echo \$\$ >pid; exec conntrack -v --source $source --ready-fd 3 2>said"; } 3>ready &
gwlookup -o json >records &
viewer=$!
read -r _ <ready

for end in tcp:10.96.0.10:80 udp:10.96.0.10:53 'tcp:[fd77:96::10]:80' 'udp:[fd77:96::10]:53'; do
	ip netns exec lab-client traffic call "$end" | emit call
done
ip netns exec lab-router "$conntrack_tools" -L 2>/dev/null | emit oracle

ip netns exec lab-router "$conntrack_tools" -I -p udp -s 10.9.9.9 -d 10.9.9.8 --sport 1 --dport 2 -t 60 >&2

# Each flow's end is a record, too; then the ring closes and gwlookup ends by itself.
ip netns exec lab-router "$conntrack_tools" -F >/dev/null 2>&1
tries=0
while [ "$(grep -c '"type":"destroy"' records)" -lt 4 ] && [ $tries -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -TERM "$(cat pid)"
wait "$viewer"
emit record <records
emit hook <said
