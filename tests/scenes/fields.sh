#!/bin/sh
# Runs guesser over and over in a guest: at rest, then beside two processes that connect and close.
#
#   fields.sh FIELDS RUNS     which fields, and the number of runs in each state
#
# Prints lines of two columns, a tab between them: `idle` and `storm` a run as JSON, `connections` how
# many the two opened during each run.
set -eu
fields=$1 runs=$2
PATH=/sextant:$PATH
sh /scenes/modules.sh

emit() { # KIND: each line of stdin
	while IFS= read -r line; do printf '%s\t%s\n' "$1" "$line"; done
}

guess() { # KIND RUNS
	witness --runs "$2" --pause-ms 50 -- \
		guesser --quiet --fields "$fields" --method guess --format json --partial >seen
	emit "$1" <seen
}

guess idle "$runs"

# In a namespace of its own, if the kernel has namespaces.
if [ -e /proc/self/ns/net ]; then
	ip netns add storm
	ip -n storm link set lo up
	inside='ip netns exec storm'
else
	inside=
fi
mkfifo hold served
$inside traffic serve tcp:127.0.0.1:7000 <hold >served &
exec 4>hold
read -r _ <served
storm=
for number in 1 2; do
	$inside traffic storm tcp:127.0.0.1:7000 --seconds 100000 >"storm.$number" &
	storm="$storm $!"
done

# The two count, since the kernel's counters would include guesser's connections where all share one network.
# shellcheck disable=SC2016 # the field is awk's
opened() { tail -qn1 storm.1 storm.2 | awk '{ sum += $2 } END { print sum + 0 }'; }

tries=0
while [ "$(opened)" -lt 10 ]; do
	if [ $tries -eq 100 ]; then
		echo "fields.sh: no storm: $(opened) connections" >&2
		exit 1
	fi
	tries=$((tries + 1))
	sleep 0.1
done
run=0
while [ $run -lt "$runs" ]; do
	run=$((run + 1))
	before=$(opened)
	guess storm 1
	echo $(($(opened) - before)) | emit connections
done
# shellcheck disable=SC2086 # one word per process
kill $storm
