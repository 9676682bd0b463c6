#!/bin/sh
# A guest in which no module of connection tracking is loaded: what each program says and how it
# ends, and that none of them made the kernel load one. For tests/tests/guest.rs.
#
# Prints lines of two columns, a tab between them: `NAME.exit`, `NAME.says` (stderr), and `module` for
# each that is loaded at the end.
set -u
PATH=/sextant:$PATH

run() { # NAME COMMAND…
	name=$1
	shift
	"$@" >/dev/null 2>says </dev/null
	printf '%s.exit\t%s\n' "$name" $?
	while IFS= read -r line; do printf '%s.says\t%s\n' "$name" "$line"; done <says
}

run kcheck kcheck --require nf_conntrack
run guesser guesser --method guess --format json
run conntrack conntrack --source netlink --duration 1
cut -d' ' -f1 /proc/modules | while read -r module; do printf 'module\t%s\n' "$module"; done
