#!/usr/bin/env bash
# Runs the built tests, one target after the other: each wants the machine, and a crash in one
# hides nothing of the next. Ends with 1 if any failed, after all have run.
#
# usage: Scripts/test.sh [--only 'TARGET...'] [ARGUMENT...]      ARGUMENT: of `swift test`
set -uo pipefail
cd "$(dirname "$0")/.."

targets=()
for folder in Tests/*/; do targets+=("$(basename "$folder")"); done
if [ "${1:-}" = --only ]; then
    read -r -a targets <<<"$2"
    shift 2
fi

# The tests' runs stay out of their user's history, and her named databases out of the tests.
export PLANTDB_STATE= PLANTDB_CONFIG=
unset PLANTDB_IDENTITY PLANTDB_USER PLANTDB_PASSWORD_FILE PLANTDB_TOKEN_FILE PLANTDB_CACERT

failed=()
for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    start=$SECONDS
    # The lines of tests that passed are left out: what failed or was skipped shall be seen.
    "${SWIFT:-swift}" test --skip-build --disable-xctest --filter "^$target\\." "$@" 2>&1 |
        grep --line-buffered -vP '^(◇|✔ (Test (?!run with)|Suite )|↳ (///|Testing Library|Target Platform)|Building for|Build complete)|^$'
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then failed+=("$target"); fi
    printf '%s: %d s\n' "$target" $((SECONDS - start))
done

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nfailed: %s\n' "${failed[*]}" >&2
    exit 1
fi
printf '\nall tests passed\n'
