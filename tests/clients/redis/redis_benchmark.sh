#!/usr/bin/env bash
# redis-benchmark, pipelined, on a node that lives, while another dies: a pause and no error.
set -euo pipefail
command -v redis-benchmark >/dev/null || { echo "no redis-benchmark: scripts/test-needs installs it" >&2; exit 1; }
IFS=, read -ra nodes <<<"$NODES"

benchmark() { # node, requests
    redis-benchmark -h "${1%:*}" -p "${1##*:}" -t set,get -n "$2" -r 1000 -c 20 -P 16 -d 64 --csv 2>&1
}
must_be_well() { # what it printed
    # It ends with status 0 after some errors too, and says them.
    if grep -qiE 'err|warn|closed|refused' <<<"$1" || [ "$(grep -cE '^"(SET|GET)"' <<<"$1")" -ne 2 ]; then
        printf 'redis-benchmark did not run through:\n%s\n' "$1" >&2
        exit 1
    fi
}

for node in "${nodes[@]}"; do must_be_well "$(benchmark "$node" 8000)"; done

# Runs go on, one after the other, until some have begun and ended with the kill between them.
marks=$(mktemp -d)
trap 'rm -rf "$marks"' EXIT
(
    while [ ! -e "$marks/enough" ]; do
        must_be_well "$(benchmark "${nodes[1]}" 20000)"
        touch "$marks/went_through"
    done
) &
going_on=$!
echo "kill me"
read -r answer
[ "$answer" = killed ] || { echo "expected \`killed\`, found \`$answer\`" >&2; exit 1; }
rm -f "$marks/went_through"
while [ ! -e "$marks/went_through" ] && kill -0 "$going_on" 2>/dev/null; do sleep 0.1; done
touch "$marks/enough"
wait "$going_on"
must_be_well "$(benchmark "${nodes[2]}" 8000)"
echo kept
