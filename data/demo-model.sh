#!/bin/sh
# Asks the index that demo.sh made, with the GPTQ model: its first use fetches a base of 93 MB, merges, quantizes
# and checks it, minutes of CPU; after that it loads in seconds.
set -eu
out=${1:?where demo.sh put the index}
here=$(dirname "$0")
export RAGQA_INDEX="$out/index"
. "$here/demo-run.sh"

run model make
run ask "How many days of annual leave do full-time staff have?" --engine gptq
run ask "How long must the guardian take to acknowledge a report?" --engine gptq
run ask "Is the office open on Sundays?" --engine gptq
run batch "$here/demo-questions.txt" --engine gptq --output "$out/answers-gptq.jsonl"
