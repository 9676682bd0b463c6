#!/bin/sh
# Runs guesser once in a guest with something unusual.
#
#   condition.sh FIELDS HOOK all|none here|steered [LAUNCHER]
#
#   FIELDS HOOK   which fields, which hook
#   all, none     which modules are loaded before
#   steered       the host's loopback hands every packet to the second processor, and guesser runs on the first
#   LAUNCHER      the program that starts it
#
# Prints lines of two columns, a tab between them: `run` the run as JSON, `before` and `after` each module that
# is loaded before and after it, and what shows that the condition holds: `processors` their number, `cmdline`
# the kernel's command line, `steered` how often packets were steered to another processor meanwhile.
set -eu
fields=$1 hook=$2 modules=$3 place=$4 launcher=${5-}
PATH=/sextant:$PATH
[ "$modules" = none ] || sh /scenes/modules.sh

list_modules() { # KIND
	[ ! -e /proc/modules ] || cut -d' ' -f1 /proc/modules |
		while read -r module; do printf '%s\t%s\n' "$1" "$module"; done
}

# received_rps is the tenth column, a row per processor (net/core/net-procfs.c).
steered() {
	total=0
	while read -r _ _ _ _ _ _ _ _ _ received_rps _; do
		total=$((total + 0x$received_rps))
	done </proc/net/softnet_stat
	echo $total
}

# A mask per namespace would do nothing: guesser makes its own namespaces where it can.
if [ "$place" = steered ]; then
	echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus
	launcher="taskset 1 $launcher"
fi

printf 'processors\t%s\n' "$(nproc)"
printf 'cmdline\t%s\n' "$(cat /proc/cmdline)"
list_modules before
steered_before=$(steered)
# The launcher searches no PATH.
# shellcheck disable=SC2086 # no launcher is no word
witness -- $launcher /sextant/guesser --quiet --fields "$fields" --hook "$hook" --method guess --format json --partial >seen
printf 'steered\t%s\n' $(($(steered) - steered_before))
list_modules after
printf 'run\t%s\n' "$(cat seen)"
