#!/bin/sh
# Runs guesser over and over in a guest: at rest, then beside two processes that connect and close.
#
#   fields.sh FIELDS RUNS     which fields, and how many runs in each state
#
# Prints lines of two columns, a tab between them: `idle` and `storm` a run as JSON, `connections` how
# many were opened during the storm's runs.
set -eu
fields=$1 runs=$2
PATH=/sextant:$PATH
sh /scenes/modules.sh

tell() { # KIND: each line of stdin
	while IFS= read -r line; do printf '%s\t%s\n' "$1" "$line"; done
}

guess() { # KIND
	witness --runs "$runs" --pause-ms 50 -- \
		guesser --quiet --fields "$fields" --method guess --format json --partial >seen
	tell "$1" <seen
}

guess idle

# In a namespace of its own, where there are any.
if [ -e /proc/self/ns/net ]; then
	ip netns add storm
	ip -n storm link set lo up
	inside='ip netns exec storm'
else
	inside=
fi
# The count tells whether the storm is one.
# shellcheck disable=SC2016 # the field is awk's
opened() { $inside awk '/^Tcp: [0-9]/ { print $6 }' /proc/net/snmp; }

mkfifo hold served
$inside traffic serve tcp:127.0.0.1:7000 <hold >served &
exec 4>hold
read -r _ <served
storm=
for _ in 1 2; do
	$inside traffic storm tcp:127.0.0.1:7000 --seconds 100000 >/dev/null &
	storm="$storm $!"
done
tries=0
while [ "$(opened)" -lt 10 ] && [ $tries -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
before=$(opened)
guess storm
after=$(opened)
echo $((after - before)) | tell connections
# shellcheck disable=SC2086 # one word per process
kill $storm
