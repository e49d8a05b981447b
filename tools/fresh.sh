#!/bin/bash
# Runs the two commands of the README on a fresh Debian: tools/fresh.sh FOLDER [up|test]
#
# The machine is a minimal root with git, make and apt in it, in mount and process namespaces of its
# own: when they end, nothing is mounted and nothing runs any more, however they end. apt and npm
# reach their servers the way this machine does. The repository is cloned as committed. FOLDER keeps
# what was downloaded for the next time; the root itself is removed.
set -euo pipefail

say() {
    printf 'fresh: %s\n' "$*"
}

skip() {
    say "skipped: $*"
    exit 0
}

# ---- on this machine ------------------------------------------------------------------------------

base_age_max_days=7

# "URI SUITE" of this machine's own archive.
archive_of() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk -v name="$1" '$4 == "main" && ($2 == name || $3 == name) { print $1, name; exit }'
}

# Makes FOLDER/base.tar, unless there is a new one.
base_make() {
    local tar=$folder/base.tar codename uri suite
    if [ -n "$(find "$tar" -mtime -$base_age_max_days 2>/dev/null)" ]; then
        return
    fi
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    read -r uri suite < <(archive_of "$codename") ||
        skip "apt has no archive for $codename here"
    say "making a minimal $suite"
    rm -rf "$root"
    unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include=git,make \
        --cache-dir="$folder/archives" "$suite" "$root" "$uri" >"$folder/debootstrap.log" ||
        { tail -n 5 "$folder/debootstrap.log"; exit 1; }
    tar -C "$root" --one-file-system -cf "$tar.new" .
    mv "$tar.new" "$tar"
    rm -rf "$root"
}

# How this machine reaches the network: names, apt's sources and its Acquire options, authorities.
network_copy() {
    local name
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    rm -rf "$root/etc/apt/sources.list"
    for name in sources.list sources.list.d keyrings trusted.gpg trusted.gpg.d preferences.d \
        auth.conf.d; do
        if [ -e "/etc/apt/$name" ]; then
            cp -a "/etc/apt/$name" "$root/etc/apt/"
        fi
    done
    apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries|Force)' \
        >"$root/etc/apt/apt.conf.d/90machine" || true
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
}

# "name=value" for what npm and others need to reach their servers.
network_environment() {
    local name key value
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!name:-}" ]; then
            printf '%s=%s\n' "$name" "${!name}"
        fi
    done
    command -v npm >/dev/null 2>&1 || return 0
    for key in registry cafile proxy https-proxy noproxy strict-ssl; do
        value=$(npm config get "$key" 2>/dev/null || true)
        case $value in
        '' | null | undefined) ;;
        *) printf 'npm_config_%s=%s\n' "$(printf %s "$key" | tr - _)" "$value" ;;
        esac
    done
}

outside() {
    [ "$(id -u)" -eq 0 ] || skip 'not root'
    command -v debootstrap >/dev/null 2>&1 || skip 'debootstrap is not here'
    local here
    here=$(cd "$(dirname "$0")/.." && pwd)
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    exec 9>"$folder/lock"
    flock 9
    root=$folder/root
    trap 'rm -rf "$root"' EXIT
    mkdir -p "$folder/archives" "$folder/npm"
    base_make
    rm -rf "$root"
    mkdir -m 0755 "$root"
    tar -C "$root" -xf "$folder/base.tar"
    network_copy
    git clone --quiet --depth 1 "file://$here" "$root/root/weir"
    local variables=()
    mapfile -t variables < <(network_environment)
    say "testing $(git -C "$here" rev-parse --short HEAD)"
    # Not exec: the trap must still run. --kill-child takes every process along.
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        "${variables[@]}" unshare --mount --pid --ipc --uts --fork --kill-child \
        "$0" --enter "$root" "$folder" "${2:-all}"
}

# ---- in the namespaces, outside of the root --------------------------------------------------------

enter() {
    local root=$1 folder=$2 commands=$3 name
    mount --bind "$root" "$root" # a root like any other: programs may make namespaces below it
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for name in null zero full random urandom tty; do
        touch "$root/dev/$name"
        mount --bind "/dev/$name" "$root/dev/$name"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mkdir -p "$root/root/.npm"
    mount --bind "$folder/archives" "$root/var/cache/apt/archives"
    mount --bind "$folder/npm" "$root/root/.npm"
    hostname fresh
    cd "$root"
    mkdir "$root/old"
    pivot_root . old
    cd /
    umount --lazy /old
    rmdir /old
    # The shell stays, as the first process that reaps what is left.
    /root/weir/tools/fresh.sh --inside "$commands"
}

# ---- inside ---------------------------------------------------------------------------------------

up_limit_s=900
log=/tmp/up.log

give_up() {
    say "$1; the end of what it printed:"
    tail -n 40 "$log"
    exit 1
}

# True when the tier answers a query through its proxy, as the README says.
tier_answers() {
    (
        eval "$(build/weir env 2>/dev/null)" 2>/dev/null
        [ -n "${DB_PROXY_ENDPOINT:-}" ] &&
            psql "host=$DB_PROXY_ENDPOINT user=dbadmin dbname=app_database sslmode=verify-full" \
                -qAtc 'SELECT 1' 2>/dev/null | grep -qx 1
    )
}

# The names of what a tier runs, as far as it still runs.
processes_left() {
    cat /proc/[0-9]*/comm 2>/dev/null | grep -E '^(weir|postgres|redis)' | tr '\n' ' ' || true
}

make_up() {
    local started=$SECONDS process code left
    say 'make up'
    set -m # a group of its own, which Ctrl-C reaches
    # Ctrl-C must reach it also where this runs in the background, which ignores it.
    env --default-signal=INT make up >"$log" 2>&1 </dev/null &
    process=$!
    set +m
    until tier_answers; do
        kill -0 "$process" 2>/dev/null || give_up 'make up ended'
        [ $((SECONDS - started)) -lt $up_limit_s ] || give_up "no tier after $up_limit_s s"
        sleep 1
    done
    say "the tier answers after $((SECONDS - started)) s, with the installation"
    kill -INT -- "-$process"
    code=0
    wait "$process" || code=$?
    case $code in
    0 | 2 | 130) ;; # make itself dies of Ctrl-C, however well the tier ended
    *) give_up "make up ended with $code at Ctrl-C" ;;
    esac
    left=$(processes_left)
    [ -z "$left" ] || give_up "still there after Ctrl-C: $left"
}

make_test() {
    say 'make test'
    make test >/tmp/test.log 2>&1 || {
        grep -E '^(FAILED|SKIPPED) [^[]|^E  ' /tmp/test.log || true
        grep -A 8 '\[  ERROR' /tmp/test.log | head -n 200 || true
        tail -n 60 /tmp/test.log
        exit 1
    }
    grep '^SKIPPED [^[]' /tmp/test.log || true
    tail -n 1 /tmp/test.log
}

# What the installation promises: no service, no cluster, no trace of its own guards.
check_installation() {
    local path
    for path in /usr/sbin/policy-rc.d /usr/sbin/policy-rc.d.weir-saved /etc/postgresql/15/main \
        /etc/postgresql-common/createcluster.d/weir-install.conf \
        /etc/systemd/system/multi-user.target.wants/redis-server.service; do
        if [ -e "$path" ] || [ -L "$path" ]; then
            say "the installation left $path"
            exit 1
        fi
    done
    getent passwd weir >/dev/null || { say 'there is no account weir'; exit 1; }
}

inside() {
    cd /root/weir
    if [ "$1" != test ]; then
        make_up
        check_installation
    fi
    if [ "$1" != up ]; then
        make_test
        check_installation
    fi
    say 'works as written'
}

case ${1:-} in
--enter) enter "$2" "$3" "$4" ;;
--inside) inside "$2" ;;
'' | -*) echo "usage: $0 FOLDER [up|test]" >&2; exit 2 ;;
*) outside "$@" ;;
esac
