#!/bin/sh
# Runs each libFuzzer target of a build for some seconds: tools/fuzz.sh FOLDER SECONDS [NAME]…
# What it finds new goes to FOLDER/corpus/NAME; an input that crashes a target lies in FOLDER and
# belongs into tests/fuzz/corpus/NAME with the fix.
set -eu

cd "$(dirname "$0")/.."
folder=$1
seconds=$2
shift 2
if [ $# -eq 0 ]; then
    for program in "$folder"/tests/fuzz/fuzz_*; do
        [ ! -x "$program" ] || [ -d "$program" ] || set -- "$@" "${program##*/fuzz_}"
    done
fi
if [ $# -eq 0 ]; then
    echo 'fuzz: there is no target' >&2
    exit 1
fi
failed=''
for name in "$@"; do
    printf 'fuzz: %s for %s s\n' "$name" "$seconds"
    mkdir -p "$folder/corpus/$name"
    if ! "$folder/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$folder/$name-" "$folder/corpus/$name" "tests/fuzz/corpus/$name"; then
        failed="$failed $name"
    fi
done
if [ -n "$failed" ]; then
    echo "fuzz: failed:$failed" >&2
    exit 1
fi
echo "fuzz: $# targets, no failure"
