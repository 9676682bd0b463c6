#!/bin/sh
# A guest without any module of connection tracking: what each program says, how it ends, and that none makes
# the kernel load a module. For tests/tests/guest.rs.
#
# Prints lines of two columns, a tab between them: `NAME.exit`, `NAME.says` (stderr), `before` and `after`
# for each module that is loaded before and after all runs.
set -u
PATH=/sextant:$PATH

list_modules() { # KIND
	cut -d' ' -f1 /proc/modules | while read -r module; do printf '%s\t%s\n' "$1" "$module"; done
}

run() { # NAME COMMAND…
	name=$1
	shift
	"$@" >/dev/null 2>says </dev/null
	printf '%s.exit\t%s\n' "$name" $?
	while IFS= read -r line; do printf '%s.says\t%s\n' "$name" "$line"; done <says
}

list_modules before
run kcheck kcheck --require nf_conntrack
run guesser guesser --method guess --format json
run conntrack conntrack --source netlink --duration 1
list_modules after
