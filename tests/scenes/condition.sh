#!/bin/sh
# Runs guesser once in a guest that is not as guests usually are.
#
#   condition.sh FIELDS HOOK all|none [LAUNCHER]    which fields, what may be hooked, which modules are loaded
#                                                   before, what starts it
#
# Prints lines of two columns, a tab between them: `run` the run as JSON, and what shows that the
# condition holds: `processors` their number, `cmdline` the kernel's command line.
set -eu
fields=$1 hook=$2 modules=$3 launcher=${4-}
PATH=/sextant:$PATH
[ "$modules" = none ] || sh /scenes/modules.sh

# Packets are handled by another processor than the one that sent them, where a new namespace can have that.
echo f 2>/dev/null >/proc/sys/net/core/rps_default_mask || true

printf 'processors\t%s\n' "$(nproc)"
printf 'cmdline\t%s\n' "$(cat /proc/cmdline)"
# The launcher searches no PATH.
# shellcheck disable=SC2086 # no launcher is no word
witness -- $launcher /sextant/guesser --quiet --fields "$fields" --hook "$hook" --method guess --format json --partial >seen
printf 'run\t%s\n' "$(cat seen)"
