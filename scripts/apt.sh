# shellcheck shell=bash
# Packages of any Debian suite and architecture, whatever this machine itself runs. Source it after lib.sh.
#
# No mirror is named here: the addresses are those of the machine's own package sources. apt runs on a private
# state in the cache, so the system's lists do not change, and apt itself checks the chain: Debian's signature
# on the suite, the suite's hash of the index, the index's hash of the package. An expired suite is accepted,
# because old kernels are needed.
#
# An answer is a folder in the cache, and a link to it, named after the request. It is valid for a day; without
# network, an older answer is used. The file `taken` in the folder lists its content: package, version, sha256
# and file name.

: "${cache:?source lib.sh first}"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

apt_open() { # SUITE ARCH LINK: the request; ends the script if it was answered today
    suite=$1 arch=$2 link=$3
    [[ $suite =~ ^[a-z][a-z-]*$ ]] || die 2 "not a suite: $suite"
    case $arch in amd64 | arm64) ;; *) die 2 "no such architecture: $arch (amd64, arm64)" ;; esac
    mkdir -p "${link%/*}" "$cache/apt/$suite-$arch"
    state=$(cd "$cache/apt/$suite-$arch" && pwd -P)
    work=$state/work
    answered_today && answer
    # A second run for the same suite waits, and then usually finds the answer.
    exec {lock}>"$state/lock"
    flock -w 600 "$lock" || die 3 "another run has worked on $suite $arch for ten minutes"
    answered_today && answer
    trap 'rm -rf --one-file-system "$work"' EXIT
    update_index || give_up "cannot read the package index of $suite: $(
        grep -m1 '^[EW]: ' "$state/log" || echo 'no package source for it'
    )"
}

answered_today() { [[ -e $link/taken && -n $(find "$link" -mmin -1440) ]]; }

answer() {
    readlink -f "$link"
    exit 0
}

answer_with() { # FOLDER: beside the link
    ln -sfn "${1##*/}" "$work.link"
    mv -T "$work.link" "$link"
    answer
}

give_up() { # MESSAGE: uses an older answer if there is one; only for failures of the network
    [[ -e $link/taken ]] || die 3 "$1"
    say "$1; using the older answer"
    answer
}

private() { # COMMAND ARG…: a command of apt, on the private state
    "$1" -c "$state/apt.conf" "${@:2}"
}

bases() { # security|plain: the addresses of such suites in this machine's package sources, in order
    apt-get update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/\([^/']*\)/InRelease' .*|\2 \1|p" |
        awk -v kind="$1" '(kind == "security") == ($1 ~ /-security$/) && !seen[$2]++ { print $2 }'
}

configure() { # SOURCE…
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    printf "deb [signed-by=$keyring] %s main\n" "$@" >"$state/sources.list"
    cat >"$state/apt.conf" <<-CONF
		#clear APT::Architectures;
		#clear APT::Update;
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Check-Valid-Until "false";
		Acquire::IndexTargets::deb::Packages::DefaultEnabled "true";
		Acquire::Languages "none";
		Acquire::Retries "4";
		Dir::Cache "$state";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::SourceList "$state/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State "$state";
		Dir::State::status "$state/status";
	CONF
}

update() { # SOURCE…
    configure "$@"
    private apt-get -qq update >"$state/log" 2>&1
}

# A machine may have package sources other than Debian's: the right address is the one with Debian's signature.
update_index() {
    local base security
    while read -r base; do
        [[ $suite == *-security ]] || while read -r security; do
            update "$base $suite" "$security $suite-security" && return
        done < <(bases security)
        update "$base $suite" && return
    done < <(if [[ $suite == *-security ]]; then bases security; else bases plain; fi)
    return 1
}

versions() { # NAME…: "version name" of each package in the index
    private apt-cache madison "$@" 2>/dev/null | awk -F ' *[|] *' '{ sub(/^ */, "", $1); print $2, $1 }' ||
        die 3 "cannot search the package index of $suite"
}

# Downloads the packages in $work/parts (lines NAME=VERSION) to $work/debs, and describes them in $work/taken.
# 1: failed, 2: not available: an index can list packages that the mirror has already removed.
download() {
    local part
    mkdir -p "$work/debs"
    if ! (cd "$work/debs" && xargs apt-get -c "$state/apt.conf" -qq download >"$state/log" 2>&1 <"$work/parts"); then
        if grep -q ' 404 ' "$state/log"; then return 2; else return 1; fi
    fi
    while read -r part; do
        private apt-cache show "$part" | awk '/^(Package|Version|SHA256|Filename): /{ print } /^$/{ exit }'
    done <"$work/parts" >"$work/taken"
    # apt has checked the hashes; this checks that `taken` describes exactly the files that are unpacked next.
    diff <(sed -n 's/^SHA256: //p' "$work/taken" | sort) <(sha256sum "$work"/debs/*.deb | cut -d' ' -f1 | sort) ||
        die 3 "the packages differ from those in the index"
}

unpack_debs() { # FOLDER: laid out like a system's root: one /usr, and links to its folders
    local deb dir
    mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$1"; done
}
