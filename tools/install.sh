#!/bin/sh
# Installs what is missing on a Debian machine, and nothing else:
# tools/install.sh run|test|dev|conform|bench|failover
#
# It looks for commands, headers and modules (tools/packages.txt), not for packages. As root it
# installs without questions, starts no service and makes no database cluster; the two files that
# keep apt from it are taken away again, also after a failure. As anybody else it prints one
# command and fails: it never asks for more rights. With nothing missing it takes some ten
# milliseconds and changes nothing.
set -eu

here=$(dirname "$0")
table=${WEIR_PACKAGES:-$here/packages.txt}
policy=/usr/sbin/policy-rc.d
policy_saved=$policy.weir-saved
policy_mark='# Temporary, made by Weir while it installs packages.'
cluster_dir=/etc/postgresql-common/createcluster.d
cluster_conf=$cluster_dir/weir-install.conf

say() {
    printf '%s\n' "install: $*" >&2
}

# Prints "kind name package" for each thing of the levels up to $1.
wanted() {
    case $1 in
    run) levels=' run ' ;;
    test) levels=' run test ' ;;
    dev) levels=' run test dev ' ;;
    conform) levels=' run test conform ' ;;
    bench) levels=' run bench ' ;;
    failover) levels=' run failover ' ;;
    *)
        say "unknown level '$1': write run, test, dev, conform, bench or failover"
        exit 2
        ;;
    esac
    while read -r level kind name package; do
        case $levels in
        *" $level "*) printf '%s %s %s\n' "$kind" "$name" "$package" ;;
        esac
    done <"$table"
}

# True when python has all the modules $@. Finding is enough, importing would be slow.
python_has() {
    /usr/bin/python3 -c '
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))' "$@" 2>/dev/null
}

module_has() {
    pkg-config --exists "$@" 2>/dev/null
}

# $1 may be a pattern.
file_is_there() {
    for file in $1; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

is_there() {
    case $1 in
    command) command -v "$2" >/dev/null 2>&1 ;;
    file) file_is_there "$2" ;;
    module) module_has "$2" ;;
    python) python_has "$2" ;;
    *)
        say "$table: unknown kind '$1'"
        exit 2
        ;;
    esac
}

# Prints the packages that bring what is missing of the list $1.
missing_packages() {
    modules=$(printf '%s\n' "$1" | sed -n 's/^module \([^ ]*\) .*/\1/p')
    pythons=$(printf '%s\n' "$1" | sed -n 's/^python \([^ ]*\) .*/\1/p')
    # All at once first: one by one only where something is missing.
    # shellcheck disable=SC2086
    if [ -n "$modules" ] && module_has $modules; then modules=''; fi
    # shellcheck disable=SC2086
    if [ -n "$pythons" ] && python_has $pythons; then pythons=''; fi
    printf '%s\n' "$1" | while read -r kind name package; do
        case $kind in
        module) [ -n "$modules" ] || continue ;;
        python) [ -n "$pythons" ] || continue ;;
        esac
        is_there "$kind" "$name" || printf '%s ' "$package"
    done
}

# What an earlier run left that was killed in the middle of it.
guards_remove() {
    if [ -e "$policy" ] && grep -qsF "$policy_mark" "$policy"; then
        rm -f "$policy"
    fi
    if [ -e "$policy_saved" ]; then
        mv -f "$policy_saved" "$policy"
    fi
    rm -f "$cluster_conf"
    if [ -n "${cluster_dir_made:-}" ]; then
        rmdir -p "$cluster_dir" 2>/dev/null || true
    fi
}

# Keeps the packages from starting services and from making a default cluster.
guards_make() {
    guards_remove
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        mv "$policy" "$policy_saved"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
    chmod 755 "$policy"
    if [ ! -d "$cluster_dir" ]; then
        cluster_dir_made=1
        mkdir -p "$cluster_dir"
    fi
    printf '%s\ncreate_main_cluster = false\n' "$policy_mark" >"$cluster_conf"
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confold "$@" >&2
}

# True when apt has the list of every archive that it is told to use, and looked less than a day ago.
# Old lists name packages that are gone, or that have known holes.
lists_are_fresh() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 0 -mtime -1)" ] || return 1
    apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' | while read -r list; do
        file_is_there "$list*" || exit 1
    done
}

apt_install() {
    fresh=''
    if ! lists_are_fresh; then
        apt update
        fresh=1
    fi
    code=0
    apt install --no-install-recommends "$@" || code=$?
    if [ "$code" = 0 ] || [ -n "$fresh" ]; then
        return "$code"
    fi
    say 'trying again with new package lists'
    apt update
    apt install --no-install-recommends "$@"
}

# A service that we brought shall not come up at the next boot either; one that was there is the
# operator's.
services_leave_off() {
    for pair in redis-server:redis-server pgbouncer:pgbouncer haproxy:haproxy pgpool2:pgpool2 etcd-server:etcd; do
        package=${pair%:*}
        service=${pair#*:}
        case " $* " in
        *" $package "*)
            # The helper wants to know for which package it is called.
            DPKG_MAINTSCRIPT_PACKAGE=$package deb-systemd-helper disable "$service.service" \
                >/dev/null 2>&1 || true
            update-rc.d "$service" disable >/dev/null 2>&1 || true
            ;;
        esac
    done
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing, and there is no apt-get here; the packages are called, in Debian: $*"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "some packages are missing; please run as root:"
        printf 'apt-get install --no-install-recommends %s\n' "$*" >&2
        exit 1
    fi
    say "installing $*"
    exec 9>/run/weir-install.lock
    flock 9
    trap guards_remove EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    guards_make
    apt_install "$@"
    services_leave_off "$@"
    guards_remove
    trap - EXIT
}

# The account that proxy and front run as.
account_make() {
    if [ "$(id -u)" -eq 0 ] && ! getent passwd weir >/dev/null; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin weir
    fi
}

list=$(wanted "${1:-run}")
missing=$(missing_packages "$list")
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing
    missing=$(missing_packages "$list")
    if [ -n "$missing" ]; then
        say "still missing after the installation: $missing"
        exit 1
    fi
fi
account_make
