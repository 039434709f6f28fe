#!/bin/sh
# Whether a file system carries a Shipway prefix: what can be tried on one host, then by hand on two.
# See docs/how-to/network-file-systems.md.  POSIX sh; wants flock(1) of util-linux, and shipway on the path
# (or SHIPWAY="python3 -m shipway").
#
#   check-file-system.sh here  DIR     one host: renames, syncfs, hard links, locks between processes
#   check-file-system.sh hold  DIR     host A: hold a lock until Enter is pressed
#   check-file-system.sh try   DIR     host B: must find it held
#   check-file-system.sh watch DIR     host B: say when a change of host A is seen
#   check-file-system.sh change DIR    host A: make that change
#
# DIR is where the prefix would be.  Everything is done in DIR/shipway-check, which `here` removes again;
# remove it yourself after the others.

set -u

say() { printf '%s\n' "$*"; }
usage() { sed -n 's/^#   \(check-.*\)/\1/p' "$0" >&2; exit 2; }

[ $# -eq 2 ] && [ -d "$2" ] || usage
work=$2/shipway-check
bad=0

result() { # ok|bad|note, text
    say "$1	$2"
    [ "$1" != bad ] || bad=1
}

number() { # the inode of a file
    set -- $(ls -di "$1")
    say "$1"
}

hard_links() {
    : > "$work/one"
    if ln "$work/one" "$work/two" 2>/dev/null && [ "$(number "$work/one")" = "$(number "$work/two")" ]; then
        result ok "hard links work: an image and the live tree share inodes"
    else
        result note "no hard links: every file will be there twice, live and in the store"
    fi
}

locks() {
    if ! command -v flock > /dev/null; then
        result note "flock(1) is not here: locks were not tried"
        return
    fi
    # The inner one has a descriptor of its own and must be refused.
    if flock -n "$work/lock" flock -n "$work/lock" true 2>/dev/null; then
        result bad "two processes got one lock: flock does nothing here"
    elif flock -n "$work/lock" true 2>/dev/null; then
        result ok "flock keeps processes of this host apart (two hosts: hold, try)"
    else
        result bad "flock fails here: shipway cannot work on this file system"
    fi
}

over_an_open_file() {
    say old > "$work/open"
    exec 3< "$work/open"
    say new > "$work/fresh"
    mv -f "$work/fresh" "$work/open"
    if read -r text <&3 && [ "$text" = old ]; then
        result ok "an open file keeps its content when another is renamed over it"
    else
        result bad "a file that was open changed, or vanished, when another was renamed over it"
    fi
    exec 3<&-
}

doctor() {
    say
    say "shipway doctor says of $1:"
    # shellcheck disable=SC2086  # it may be several words
    ${SHIPWAY:-shipway} -p "$1" doctor || bad=1
}

here() {
    rm -rf "$work"
    mkdir "$work" || exit 1
    hard_links
    locks
    over_an_open_file
    rm -rf "$work"
    doctor "$1"
}

hold() {
    mkdir -p "$work" || exit 1
    say "holding the lock; run on the other host: $0 try $1"
    # shellcheck disable=SC2016
    flock -n "$work/lock" sh -c 'printf "press Enter to let go: "; read -r _ || :' || result bad "the lock was held already"
}

try() {
    [ -f "$work/lock" ] || { say "run first, on the other host: $0 hold $1" >&2; exit 2; }
    if flock -n "$work/lock" true; then
        result bad "this host got the lock that the other holds: locks do not reach other hosts"
    else
        result ok "the lock that the other host holds is seen here"
    fi
}

clock() { date +%s; }

watch() {
    mkdir -p "$work" || exit 1
    say 0 > "$work/version"
    seen=0
    say "run on the other host: $0 change $1"
    while [ "$seen" = 0 ]; do
        sleep 1
        read -r seen < "$work/version" || seen=0
    done
    result note "seen $(($(clock) - seen)) s after it was made, if both clocks agree"
}

change() { # as a commit does it: a new file renamed over the old one
    [ -f "$work/version" ] || { say "run first, on the other host: $0 watch $1" >&2; exit 2; }
    clock > "$work/next" && mv -f "$work/next" "$work/version" || exit 1
    say "changed; the other host says when it sees it"
}

case $1 in
    here | hold | try | watch | change) "$1" "$2" ;;
    *) usage ;;
esac
exit "$bad"
