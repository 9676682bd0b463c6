#!/bin/sh
# Runs the differential test in a guest that scripts/vm booted, with these arguments.
#
#   differential.sh ARGUMENT…
#
# Prints lines of two columns, a tab between them: `said` what it printed on both outputs, `exit` its exit code.
set -eu
PATH=/sextant:$PATH
sh /scenes/modules.sh
# What the rules of the test's own router need, where the kernel has it.
for module in veth bridge br_netfilter nft_redir nft_reject_inet nft_numgen nft_synproxy nf_conntrack_tftp nf_nat_tftp \
	ip_gre; do
	modprobe "$module" 2>/dev/null || true
done
code=0
differential --scenes /scenes "$@" >said 2>complaints || code=$?
cat said complaints | while IFS= read -r line; do printf 'said\t%s\n' "$line"; done
printf 'exit\t%s\n' "$code"
