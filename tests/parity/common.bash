# tests/parity/common.bash - what the reference tests share: tests/common.bash, and Python with the
# reference libraries (tests/parity/install.sh) and reference.py.
#
#     . "$(dirname "$0")/common.bash" "$1"
#     python <<'END'                     # or: python "$here/test.py" ARGUMENTS
#     from reference import *
#     END
#
# Where the libraries could not be had, the test ends here as skipped and says why.
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
if [ ! -s "$1/parity/installed" ]; then
    echo "SKIPPED: NOT compared with the reference: $(cat "$1/parity/SKIPPED" 2>/dev/null ||
        echo "run tests/parity/install.sh $1 first")" >&2
    exit 77
fi
. "$here/../common.bash" "$1"
export PYTHONPATH=$build/parity/site:$here
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false # no test asks a server
unset PYTHONHOME

# The distribution's interpreter, which its torch belongs to.
python() { /usr/bin/python3 "$@"; }
