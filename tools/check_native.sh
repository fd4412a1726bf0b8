#!/bin/sh
# Run the core with AddressSanitizer and UndefinedBehaviorSanitizer: the tests in NATIVE_TESTS, then SECONDS of fuzzing.
set -eu
cd "$(dirname "$0")/.."
built=$PWD/.build/sanitized
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 # Python itself does not free all memory at its end
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

# configured FOLDER OPTION...: set up a build folder if it does not exist
configured() {
    folder=$1
    shift
    mkdir -p .build
    [ -f "$folder/build.ninja" ] || meson setup "$folder" --werror -Dbuildtype=debugoptimized -Doptimization=1 \
        -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false "$@" >.build/configured.log ||
        { cat .build/configured.log; exit 1; }
}

configured "$built" --prefix="$built" -Dpython.platlibdir="$built/site"
ninja --quiet -C "$built"
rm -rf "$built/site" # so that no deleted module stays
meson install --quiet --no-rebuild -C "$built"
# a Python built without sanitizers must load their libraries first; libstdc++ for the exceptions of other modules
for library in libasan.so libubsan.so libstdc++.so; do
    preload="${preload:+$preload }$(gcc -print-file-name=$library)"
done
sanitized() { env LD_PRELOAD="$preload" PYTHONPATH="$built/site" PYTHONMALLOC=malloc "$@"; }
sanitized .venv/bin/python -c 'from mapprobe import _core; print("sanitized:", _core.__file__)' | grep -F "$built/site"
# shellcheck disable=SC2086
sanitized .venv/bin/python -m pytest -q -m 'not system and not rest' $NATIVE_TESTS

if ! command -v clang >/dev/null; then
    echo 'fuzzing was left out: no clang'
else
    CC=clang configured .build/fuzz -Dfuzz=true
    # a finding is a file .build/fuzz/TARGET-crash-*; `.build/fuzz/src/core/TARGET FILE` runs it again
    for target in fuzz_apply fuzz_decode; do
        ninja --quiet -C .build/fuzz "src/core/$target"
        mkdir -p ".build/fuzz/corpus/$target"
        ".build/fuzz/src/core/$target" -max_total_time="$SECONDS" -max_len=16384 -len_control=0 -rss_limit_mb=2048 \
            -timeout=10 -print_final_stats=1 -verbosity=0 -artifact_prefix=".build/fuzz/$target-" \
            ".build/fuzz/corpus/$target"
    done
    echo "fuzzed for $SECONDS s each, no finding"
fi
