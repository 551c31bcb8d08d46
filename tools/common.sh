# What the tools here share. Read by `. "$(dirname "$0")/common.sh"`, after `name` has
# been set to what is made: it begins every line of progress and names the log.
#
# What they make is kept in ${XDG_CACHE_HOME:-~/.cache}/mmapbuilder; a second run finds it
# there and is done. Remove that directory to have everything made again.
#
# Progress goes to stderr, so that a caller can take the result from stdout.
# shellcheck shell=sh disable=SC2034,SC2154 # variables that it takes, or is there to give

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mmapbuilder
log=$cache/$name.log
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "$name: $*" >&2; }
die() { say "$*"; exit 1; }

run() { # quietly, unless it fails
    "$@" >"$log" 2>&1 9>&- || { tail -n 40 "$log" >&2; die "failed: $* (all of it: $log)"; }
}

again() { # networks fail
    for pause in 5 15 0; do
        if "$@" >"$log" 2>&1 9>&-; then return; fi
        [ "$pause" -eq 0 ] || sleep "$pause"
    done
    tail -n 40 "$log" >&2
    die "failed: $*"
}

one_at_a_time() { # later callers wait until this process ends
    mkdir -p "$cache"
    exec 9>"$cache/$name.lock"
    flock -n 9 || { say "another one is making it, waiting for that"; flock 9; }
}

working_directory() { # $work, gone when this process ends
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    chmod 755 "$work" # apt downloads as a user of its own
}

need_packages() { # as root they are installed; otherwise it says what is missing
    missing=
    for _package; do # with a name that no caller uses: shells have no variables of functions
        dpkg-query -W -f '${Status}' "$_package" 2>/dev/null | grep -q ' installed$' ||
            missing="$missing $_package"
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" -eq 0 ] || die "not root, and these packages are missing:$missing"
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    again apt-get -q update
    # shellcheck disable=SC2086 # a list of words
    again apt-get -q install -y --no-install-recommends $missing
}

# A machine with Debian on it has a mirror that works: the one that its apt uses. Whichever
# way its sources are written down, apt says which release files it would fetch; the main
# archive is the entry for this very release. Nothing is printed on other systems.
debian_mirror() {
    (
        . /etc/os-release
        apt-get update --print-uris | sed -n "s,^'\(.*\)/dists/\(${VERSION_CODENAME:-stable}\|stable\|oldstable\|testing\|sid\|unstable\)/InRelease'.*,\1,p" |
            head -n 1
    )
}

# A release older than the suite gets the suite's keys by an update of its keyring
# package, which the keys that the machine trusts already have signed.
knows_suite() {
    for key in "${keyring%/*}"/debian-archive-"$1"-*.gpg; do [ -e "$key" ] && return; done
    return 1
}

need_keys_of() { # a suite
    if knows_suite "$1"; then return; fi
    [ "$(id -u)" -eq 0 ] || die "debian-archive-keyring is older than $1: upgrade it"
    say "upgrading debian-archive-keyring, which lacks the keys of $1"
    export DEBIAN_FRONTEND=noninteractive
    again apt-get -q update
    again apt-get -q install -y --no-install-recommends debian-archive-keyring
    knows_suite "$1" || die "debian-archive-keyring has no key for $1"
}

# Upstream's own tarballs of Debian's source packages, which Debian signs for; its patches
# fit a program into the system, which is not wanted here. They are fetched by apt in
# directories of their own: signatures are checked as always, and neither the machine's
# list of sources nor its package lists change.
fetch_sources() { # SUITE PACKAGE...: each is unpacked into $work/PACKAGE
    suite=$1
    shift
    need_keys_of "$suite"
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "apt has no source of Debian's to derive the mirror from"
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/source"
    echo "deb-src [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
    cat >"$work/apt.conf" <<EOF
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/lists";
Dir::Cache::Archives "$work/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
EOF
    say "fetching the sources of $*"
    again env APT_CONFIG="$work/apt.conf" apt-get -q update
    [ "$(id -u)" -ne 0 ] || ! id _apt >/dev/null 2>&1 || chown _apt "$work/source"
    cd "$work/source" || die "there is no $work/source"
    again env APT_CONFIG="$work/apt.conf" apt-get -q source --download-only "$@"
    for package; do
        mkdir "$work/$package"
        run tar -xf "$(echo "$work"/source/"$package"_*.orig.tar.*[!c])" \
            --strip-components=1 -C "$work/$package"
    done
}
