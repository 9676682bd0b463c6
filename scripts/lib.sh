# shellcheck shell=bash
# What several scripts share: how they speak, how they stop, where they cache. Source it, never run it.
# Exit codes are the programs' own: 2 wrong usage, 3 failed, 4 missing privilege.

# Everything that is fetched or built once lives here, outside the tree.
cache=${SEXTANT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/sextant}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export cache root

# An ordinary user's PATH lacks the sbin folders. What is in the cache (scripts/setup) is of the version that is
# wanted, another of the same name may not be.
PATH=$cache/tools/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() { # CODE MESSAGE…
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# A script's help is the comment that it opens with.
help() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
}

# What compilers, loaders and emulators call an architecture that dpkg calls ARCH.
triplet() { # ARCH
    case $1 in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    *) return 1 ;;
    esac
}

# What Rust calls it.
triple() { # ARCH
    local triplet
    triplet=$(triplet "$1") && printf '%s\n' "${triplet/-/-unknown-}"
}

# Starts the script once more where mounts are its own: they go with it, however it ends.
own_mounts() { # ARG…, the script's
    ((EUID == 0)) || die 4 "only root can mount and chroot"
    [[ ${own_mounts_of-} == "$$" ]] || own_mounts_of=$$ exec unshare --mount --propagation private "$0" "$@"
}
