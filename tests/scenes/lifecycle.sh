#!/bin/sh
# Every case of the bench of conntrack's BPF programs, in a guest that scripts/vm booted. Nothing is loaded
# beforehand: it needs neither connection tracking nor a network. For tests/tests/lifecycle.rs.
#
# Prints lines of two columns, a tab between them: `kernel` its release, `said` each line of the bench, `exit` its
# exit code.
set -u
printf 'kernel\t%s\n' "$(uname -r)"
/sextant/lifecycle >said 2>&1
code=$?
while IFS= read -r line; do printf 'said\t%s\n' "$line"; done <said
printf 'exit\t%s\n' $code
