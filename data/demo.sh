#!/bin/sh
# Ingests the sample documents, asks questions, answers a file of them. Writes only to the folder named by $1.
set -eu
out=${1:?where to put the index}
here=$(dirname "$0")
mkdir -p "$out"
export RAGQA_INDEX="$out/index"

. "$here/demo-run.sh"

run ingest "$here/documents"
run ask "How many days of annual leave do full-time staff have?"
run ask "How long must the guardian take to acknowledge a report?"
run ask "What do apprentices earn?"
run batch "$here/demo-questions.txt" --output "$out/answers.jsonl" --csv "$out/answers.csv"
printf '\n$ head -n 2 %s\n' "$out/answers.csv"
head -n 2 "$out/answers.csv"
