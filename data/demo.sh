#!/bin/sh
# Ingests the sample documents, asks three questions and answers a file of them. Works on a copy of nothing: only $1 is written.
set -eu
out=${1:?where to put the index}
here=$(dirname "$0")
mkdir -p "$out"
export RAGQA_INDEX="$out/index"

run() {
    printf '\n$ ragqa'
    for word in "$@"; do case $word in *[!A-Za-z0-9_./=-]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done
    printf '\n'
    ragqa "$@"
}

run ingest "$here/documents"
