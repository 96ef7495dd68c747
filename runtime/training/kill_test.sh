#!/bin/sh
# A run that is killed (kill -9) again and again and resumed has the same losses, bit by bit, as one that wasn't; and
# an interrupted one ends cleanly.
train=$1
dir=${TEST_TMPDIR:-/tmp}/kill_test
rm -rf "$dir"
mkdir -p "$dir"
seq 1 600 | tr '\n' ' ' > "$dir/text"
steps=2500

# The records without what depends on the clock.
records() { sed 's/,"tokens_per_second.*//' "$dir/$1/metrics.jsonl"; }
fail() { echo "FAILED: $1" >&2; exit 1; }

"$train" "$dir/text" "$dir/whole" $steps > "$dir/log" || fail "the run itself"

resume=
for pause in 0.3 0.7 0.4; do
  "$train" "$dir/text" "$dir/killed" $steps $resume > "$dir/log" 2>&1 &
  pid=$!
  sleep $pause
  kill -9 $pid || fail "the run ended before it could be killed"
  wait $pid 2> /dev/null
  resume=resume
done
"$train" "$dir/text" "$dir/killed" $steps resume > "$dir/log" || fail "resuming"
records whole > "$dir/a"
records killed > "$dir/b"
[ "$(wc -l < "$dir/a")" -eq 2550 ] || fail "the log has $(wc -l < "$dir/a") lines"
cmp "$dir/a" "$dir/b" || fail "the killed run has other losses"
ls "$dir/killed" | grep tmp && fail "a file was left behind"

"$train" "$dir/text" "$dir/stopped" $steps > "$dir/log" 2>&1 &
pid=$!
sleep 0.4
kill -TERM $pid
wait $pid || fail "an interrupted run must end well"
grep -q "^interrupted after" "$dir/log" || fail "the interrupt wasn't seen"
"$train" "$dir/text" "$dir/stopped" $steps resume > "$dir/log" || fail "resuming"
records stopped > "$dir/b"
cmp "$dir/a" "$dir/b" || fail "the interrupted run has other losses"
