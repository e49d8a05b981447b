#!/bin/sh
# Configures a build folder where that is needed, and builds it:
#     tools/build.sh FOLDER [-Doption=value]…
# An option that was given once stays. One builder at a time.
set -eu

cd "$(dirname "$0")/.."
folder=$1
shift
mkdir -p "$folder"
exec 9>"$folder/weir-build.lock"
flock 9

quietly() {
    if ! "$@" >"$folder/weir-build.log" 2>&1; then
        cat "$folder/weir-build.log" >&2
        return 1
    fi
}

# True when every option was given before.
options_are_set() {
    for option in "$@"; do
        grep -qsxF -e "$option" "$folder/weir-options" || return 1
    done
}

if [ ! -e "$folder/build.ninja" ]; then
    # Without tests unless they are asked for: their library may not be installed yet.
    case " $* " in
    *' -Dtests='*) quietly meson setup "$folder" "$@" ;;
    *) quietly meson setup "$folder" -Dtests=false "$@" ;;
    esac
    printf '%s\n' "$@" >"$folder/weir-options"
elif ! options_are_set "$@"; then
    quietly meson setup --reconfigure "$folder" "$@"
    printf '%s\n' "$@" >>"$folder/weir-options"
fi
if [ -t 1 ]; then
    exec ninja -C "$folder"
fi
quietly ninja -C "$folder"
