#!/bin/bash
# tests/house/words.sh - the project holds nothing that only its author's machine knows (paths, hosts,
# addresses) and no note of work that is still to do: that stands in an issue, or is done.
set -euo pipefail
. tests/house/tracked.bash

# The brackets keep each pattern from finding itself.
patterns=(
    '\bTO[D]O\b' '\bFIX[M]E\b' '\bX[X]X\b' '\bHA[C]K\b'
    '(^|[^[:alnum:]._-])/(wor[k]|hom[e]|roo[t]|User[s])/'
    '\b(10|192\.16[8]|172\.(1[6-9]|2[0-9]|3[01]))\.[0-9]{1,3}\.[0-9]{1,3}\b'
    '\.(interna[l]|loca[l]|cor[p]|la[n])(:[0-9]+)?/'
    'https?://[^/[:space:]]*[@]'
)
files=$(tracked)
found=0
for pattern in "${patterns[@]}"; do
    if grep -InHE -e "$pattern" $files; then
        echo "  does not belong here: $pattern"
        found=1
    fi
done
echo "$(wc -w <<<"$files") files looked at"
exit $found
