#!/bin/bash
# Runs the test levels and counts. `run.sh` runs all, `run.sh 0 1` the levels named.
#
# Last line of the output, alone: `N passed, N failed, N skipped`. Exit status 0 only if nothing failed and no level
# vanished. A test that cannot run here appends one line `TEST: reason` to the file $ONLOADD_SKIPS and
# returns; it is then counted as skipped, not as passed, and its reason is shown.
set -uo pipefail
cd "$(dirname "$0")/.."

# A level may take this long before it counts as hung: some ten times what the slowest takes on two cores.
LEVEL_SECS=1200
# Emulated machines: each of its guests has limits of its own.
MACHINES_SECS=3600
NAMES=(core schedules scenarios machines whole kernel)
# Checks of the repository itself; they need no daemon and so belong to the level that runs first.
REPOSITORY=(architecture generated units)

scratch=$(mktemp -d)
worker=
trap 'rm -rf "$scratch"' EXIT
# timeout leads a process group of its own, which an interrupt from the terminal does not reach.
trap '[[ -z $worker ]] || kill "$worker"; exit 130' INT TERM
export ONLOADD_SKIPS=$scratch/skips CARGO_TERM_COLOR=never
passed=0 failed=0 skipped=0

# Test targets of onload-tests, by name.
targets() {
    local file
    for file in tests/tests/*.rs tests/tests/*/main.rs; do
        [[ -e $file ]] || continue
        file=${file%/main.rs}
        basename "$file" .rs
    done | sort
}

# limit LEVEL: how many seconds it may take.
limit() {
    (($1 == 5)) && echo "$MACHINES_SECS" || echo "$LEVEL_SECS"
}

# count LEVEL NAME STATUS LOG: reads cargo's summaries, prints the level's line, adds to the totals.
count() {
    local level=$1 name=$2 status=$3 log=$4 ok bad ignored told
    read -r ok bad ignored < <(awk '/^test result:/ {
        for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1); if ($i ~ /^ignored/) s += $(i-1) }
    } END { print p + 0, f + 0, s + 0 }' "$log")
    told=$(sort -u "$ONLOADD_SKIPS" | grep -c .)
    # A test that skipped itself has returned without failing, so cargo counts it as passed.
    ((ok -= told, ok = ok < 0 ? 0 : ok, ignored += told))
    # Nothing said it failed, yet something did: a build error, a crash, a hang.
    ((status != 0 && bad == 0)) && bad=1
    if ((ok + bad + ignored == 0)); then
        vanished "$level" "$name" "no test in it ran"
        return
    fi
    printf 'level %s %-12s %4d passed, %d failed, %d skipped\n' "$level" "$name" "$ok" "$bad" "$ignored"
    sort -u "$ONLOADD_SKIPS" | sed 's/^/  skipped: /'
    # What a level cost in emulated machines; kept in guest-seconds.txt of the target directory.
    sed -n 's/^guest seconds:/  &/p' "$log"
    ((status == 124)) && echo "  not finished after $(limit "$level") s"
    if ((bad)); then
        sed 's/^/  | /' "$log"
    fi
    ((passed += ok, failed += bad, skipped += ignored))
}

vanished() { # LEVEL NAME WHY
    printf 'level %s %-12s vanished: %s\n' "$1" "$2" "$3"
    ((failed += 1))
}

# level N CARGO-TEST-ARGUMENTS...: runs them. Of the whole workspace each time: for a part of it, dependencies have
# other features, and would be compiled anew.
level() {
    local level=$1 name=${NAMES[$1]} status=0 log=$scratch/log
    shift
    : >"$ONLOADD_SKIPS"
    timeout "$(limit "$level")" cargo test --workspace --locked --no-fail-fast "$@" >"$log" 2>&1 </dev/null &
    worker=$!
    wait "$worker" || status=$?
    worker=
    count "$level" "$name" "$status" "$log"
}

# One test target that is a level of its own.
single() { # LEVEL TARGET
    if targets | grep -qx "$2"; then
        level "$1" --test "$2"
    else
        vanished "$1" "${NAMES[$1]}" "tests/tests/$2.rs is missing"
    fi
}

run() {
    local name arguments
    case $1 in
    0)
        arguments=()
        for name in "${REPOSITORY[@]}"; do
            if targets | grep -qx "$name"; then
                arguments+=(--test "$name")
            else
                vanished 0 core "tests/tests/$name.rs is missing"
            fi
        done
        level 0 --lib --bins "${arguments[@]}"
        ;;
    1) single 1 schedules ;;
    2) single 2 scenarios ;;
    3) single 3 machines ;;
    4)
        arguments=()
        for name in $(targets); do
            case " ${REPOSITORY[*]} schedules scenarios machines kernel " in
            *" $name "*) ;;
            *) arguments+=(--test "$name") ;;
            esac
        done
        if ((${#arguments[@]})); then
            level 4 "${arguments[@]}"
        else
            vanished 4 "${NAMES[4]}" "no test target is left for it"
        fi
        ;;
    # Cases count as tests; those that need a guest say so where none can be had, see tests/src/guest/cases.rs.
    5)
        # What ships goes into the guest: a debug build takes several times as long on an emulated processor.
        local bin=${CARGO_TARGET_DIR:-target}/release
        if cargo build --release --locked --quiet -p onloadd -p onloadctl -p onload-tests \
            --bin onloadd --bin onloadctl --bin guest-agent --bin sfptpd </dev/null; then
            ONLOADD_GUEST_BIN=$(realpath "$bin") single 5 kernel
        else
            vanished 5 kernel "the release build failed; its messages are above"
        fi
        ;;
    *)
        printf 'error: no level %s\n  why: levels are 0 to 5\n  fix: tests/run.sh [LEVEL...]\n' "$1" >&2
        exit 2
        ;;
    esac
}

(($#)) || set -- 0 1 2 3 4 5
# Levels 4 and 5 run the binaries themselves, which `cargo test` of another package does not build.
# There are no examples: named, dependencies have the features that tests need, and are compiled once.
what=()
[[ " $* " != *" 5 "* ]] || what=(--bins --examples)
[[ " $* " != *" 4 "* ]] || what=(--all-targets)
if ((${#what[@]})); then
    echo "building what is needed once"
    if ! cargo build --workspace "${what[@]}" --locked --quiet </dev/null; then
        echo "the build failed; its messages are above"
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
    fi
fi
for number in "$@"; do
    run "$number"
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
