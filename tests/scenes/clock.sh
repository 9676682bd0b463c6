#!/bin/sh
# Sets a guest's clock an hour forth and two hours back while conntrack runs, with calls in between. For
# tests/tests/guest.rs; never on a machine that is not a throwaway guest.
#
#   clock.sh SOURCE     tracepoint or netlink
#
# Prints lines of two columns, a tab between them: `call` who called what and when by the clock of that moment,
# `conntrack` and `gwlookup` the records that each of them printed.
set -eu
source=$1
PATH=/sextant:$PATH

emit() { # KIND: each line of stdin
	while IFS= read -r line; do printf '%s\t%s\n' "$1" "$line"; done
}

for module in nf_conntrack_netlink nft_ct nft_nat nft_chain_nat nft_masq; do modprobe "$module"; done
/scenes/lab.sh up lab
mkfifo hold served ready
ip netns exec lab-server traffic serve udp:10.77.3.2:5353 <hold >served &
exec 4>hold
read -r _ <served

# ctnetlink reports the own namespace only.
place=
[ "$source" = tracepoint ] || place='ip netns exec lab-router'
{
	guesser | sh -c "echo \$\$ >pid; exec $place conntrack --source $source --ready-fd 3 -o json >ours"
} 3>ready &
gwlookup -o json >theirs &
viewer=$!
read -r _ <ready

calls() {
	count=0
	while [ $count -lt 10 ]; do
		ip netns exec lab-client traffic call udp:10.96.0.10:53 | emit call
		count=$((count + 1))
	done
}

calls
date -s "@$(($(date +%s) + 3600))" >/dev/null
calls
date -s "@$(($(date +%s) - 7200))" >/dev/null
calls

tries=0
while [ "$(grep -c '"type":"new"' theirs)" -lt 30 ] && [ $tries -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -TERM "$(cat pid)"
wait "$viewer"
emit conntrack <ours
emit gwlookup <theirs
