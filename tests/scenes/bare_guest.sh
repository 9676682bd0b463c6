#!/bin/sh
# A guest in which no module of connection tracking is loaded: what each program says and how it
# ends, and that none of them made the kernel load any module. For tests/tests/guest.rs.
#
# Prints lines of two columns, a tab between them: `NAME.exit`, `NAME.says` (stderr), `before` and `after`
# for each module that is loaded before and after all runs.
set -u
PATH=/sextant:$PATH

tell_modules() { # KIND
	cut -d' ' -f1 /proc/modules | while read -r module; do printf '%s\t%s\n' "$1" "$module"; done
}

run() { # NAME COMMAND…
	name=$1
	shift
	"$@" >/dev/null 2>says </dev/null
	printf '%s.exit\t%s\n' "$name" $?
	while IFS= read -r line; do printf '%s.says\t%s\n' "$name" "$line"; done <says
}

tell_modules before
run kcheck kcheck --require nf_conntrack
run guesser guesser --method guess --format json
run conntrack conntrack --source netlink --duration 1
tell_modules after
