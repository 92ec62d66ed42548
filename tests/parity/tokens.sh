#!/bin/bash
# tests/parity/tokens.sh BUILD - the ids of `thaw tokenize` are those of open_clip and of transformers, for
# captions in all the languages that Debian's unicode-cldr-core and iso-codes know and for strings that are
# meant to hurt (token_ids.py).
. "$(dirname "$0")/common.bash" "$1"

python "$here/token_ids.py" "$thaw" || fail "thaw's ids and the reference's differ"
