#!/usr/bin/env bash
# redis-cli, as an operator or a script uses it: a command a call, one session of several kinds of key, and a transaction.
set -euo pipefail
command -v redis-cli >/dev/null || { echo "no redis-cli: scripts/test-needs installs it" >&2; exit 1; }
IFS=, read -ra nodes <<<"$NODES"

# Asks the first node that answers.
ask() {
    local node
    for node in "${nodes[@]}"; do
        # -e: an error is an exit status too, and not asked again elsewhere: the node has answered.
        if redis-cli -h "${node%:*}" -p "${node##*:}" ping >/dev/null 2>&1; then
            redis-cli -e -h "${node%:*}" -p "${node##*:}" "$@"
            return
        fi
    done
    echo "no node answers" >&2
    return 1
}

must_be() { # expected, what, found
    [ "$1" = "$3" ] || { printf '%s: expected %q, found %q\n' "$2" "$1" "$3" >&2; exit 1; }
}

for n in {1..8}; do
    must_be OK "login of $n" "$(ask set "user:{$n}" "user-$n" ex 1800)"
    must_be 2 "the hash of $n" "$(ask hset "basket:{$n}" pears 2 apples 1)"
    must_be 1 "the end of $n's basket" "$(ask expire "basket:{$n}" 1800)"
    for count in {1..3}; do must_be "$count" "request $count of $n" "$(ask incr "count:{$n}")"; done
done
must_be OK "a key with a near end" "$(ask set ends soon px 5000)"
ends=$((SECONDS + 6))

echo "kill me"
read -r answer
must_be killed "the answer to \`kill me\`" "$answer"
if redis-cli -h "${nodes[0]%:*}" -p "${nodes[0]##*:}" ping >/dev/null 2>&1; then
    echo "the node that was killed answers" >&2
    exit 1
fi

for n in {1..8}; do
    must_be "user-$n" "login of $n" "$(ask get "user:{$n}")"
    must_be $'apples\n1\npears\n2' "the basket of $n" "$(ask hgetall "basket:{$n}")"
    must_be 4 "request 4 of $n" "$(ask incr "count:{$n}")"
    for key in user basket; do
        left=$(ask ttl "$key:{$n}")
        [ "$left" -gt 1700 ] && [ "$left" -le 1800 ] || { echo "$key:{$n} was set to live 1800 s, and has $left s left" >&2; exit 1; }
    done
    must_be -1 "the end of a key that has none" "$(ask ttl "count:{$n}")"
    # One connection, commands line by line.
    must_be $'OK\nQUEUED\nQUEUED\n5\n3' "a transaction of $n" \
        "$(printf 'multi\nincr count:{%s}\nhincrby basket:{%s} pears 1\nexec\n' "$n" "$n" | ask)"
done
must_be 24 "all keys but the one with a near end" "$(ask --scan --pattern '*:{*}' | wc -l)"
while [ "$SECONDS" -le "$ends" ]; do sleep 0.2; done
must_be "" "a key that has ended" "$(ask get ends)"
echo kept
