#!/bin/bash
# tests/house/layers.sh - includes are rooted ("base/error.h") and point down, never up or sideways:
#
#     launch -> trainer -> {dataloader, comm, checkpoint} -> base
#
# There is no list of exceptions: what two siblings share moves to base/, or trainer/ hands it over.
set -euo pipefail

folders="base dataloader comm checkpoint trainer launch"

may_include() {
    case $1 in
    base) echo base ;;
    dataloader | comm | checkpoint) echo $1 base ;;
    trainer) echo trainer dataloader comm checkpoint base ;;
    launch) echo $folders ;;
    esac
}

seen=0 wrong=0
for folder in $folders; do
    allowed=" $(may_include $folder) "
    while IFS='"' read -r where path _; do
        seen=$((seen + 1))
        case $allowed in
        *" ${path%%/*} "*) continue ;;
        esac
        echo "${where%:*}: $folder/ may not include \"$path\", only what is in:$allowed"
        wrong=$((wrong + 1))
    done < <(grep -rHnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' $folder)
    # In angle brackets a rooted include would get past the test above.
    for other in $folders; do
        if grep -rHnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$other/" $folder; then
            echo "  our own headers stand in quotes"
            wrong=$((wrong + 1))
        fi
    done
done
echo "$seen includes looked at, $wrong wrong"
[ $seen -gt 0 ] && [ $wrong = 0 ]
