#!/bin/bash
# tests/parity/tokens.sh BUILD - the ids of `thaw tokenize` are those of open_clip and of transformers, for
# captions in all the languages that Debian's unicode-cldr-core and iso-codes know and for strings that are
# meant to hurt (token_ids.py). A sample of them, unless TH_TOKENS=all: that takes a quarter of an hour.
# TH_SEED names another sample, and other strings that are meant to hurt.
. "$(dirname "$0")/common.bash" "$1"

how=(--seed "${TH_SEED:-1}")
[ "${TH_TOKENS:-}" != all ] || how+=(--all)
python "$here/token_ids.py" "$thaw" "${how[@]}" || fail "thaw's ids and the reference's differ"
