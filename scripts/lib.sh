# shellcheck shell=bash
# Shared by several scripts: messages, exits, the cache, names of architectures. Source it, do not run it.
# Exit codes are those of the programs: 2 wrong usage, 3 failed, 4 missing privilege.

# Everything that is fetched or built once is kept here, outside the tree.
cache=${SEXTANT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/sextant}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export cache root

# An ordinary user's PATH lacks the sbin folders. The cache comes first: its tools (scripts/setup) have the required
# version.
PATH=$cache/tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() { # CODE MESSAGE…
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# A script's help is the comment at its beginning.
help() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
}

# The name that compilers, loaders and emulators have for an architecture of dpkg.
triplet() { # ARCH
    case $1 in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    *) return 1 ;;
    esac
}

# Rust's name for it.
triple() { # ARCH
    local triplet
    triplet=$(triplet "$1") && printf '%s\n' "${triplet/-/-unknown-}"
}

# Restarts the script in a mount namespace of its own, so that its mounts disappear with it, however it ends.
own_mounts() { # ARG…: the script's
    ((EUID == 0)) || die 4 "only root can mount and chroot"
    [[ ${own_mounts_of-} == "$$" ]] || own_mounts_of=$$ exec unshare --mount --propagation private "$0" "$@"
}
