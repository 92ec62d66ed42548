#!/usr/bin/env bash
# tests/parity/install.sh BUILD - what the reference tests compare thaw with: torch and torchvision from
# Debian (root or sudo), and requirements.txt from PyPI into BUILD/parity/site. CPU only.
#
# BUILD/parity/installed names what stands there, so a second call costs nothing. Where it cannot be
# had, the reason goes to BUILD/parity/SKIPPED, the exit code is 77, and the tests that need it are
# skipped with that reason.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
python=/usr/bin/python3 # the distribution's, which its torch belongs to
mkdir -p "$1/parity"
cd "$1/parity"

skip() {
    echo "$*" >SKIPPED
    echo "SKIPPED: thaw is NOT compared with torch, open_clip and transformers: $*" >&2
    exit 77
}

[ -x "$python" ] || skip "there is no $python"
. "$here/../../launch/packages.sh"
want=$({ "$python" -V; cat "$here/requirements.txt"; echo "$thaw_packages_parity"; } | sha256sum)
if [ "$(cat installed 2>/dev/null)" = "$want" ]; then
    exit 0
fi
rm -rf site site.new installed SKIPPED
[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || "$python" -c 'import torch, torchvision' 2>/dev/null ||
    skip "torch is to be installed with apt, which wants root"
thaw_install_packages test parity >apt.log 2>&1 || skip "apt could not install it: $(tail -1 apt.log)"
"$python" -m pip install --quiet --no-deps --no-compile --only-binary :all: --disable-pip-version-check \
    --root-user-action ignore --retries 2 --timeout 30 --target site.new \
    --requirement "$here/requirements.txt" >pip.log 2>&1 ||
    skip "pip could not install it: $(grep -m 1 ERROR pip.log || tail -1 pip.log)"
PYTHONPATH=$PWD/site.new "$python" -c 'import torch, torchvision, open_clip, transformers, h5py, lmdb
print("torch", torch.__version__, "open_clip", open_clip.__version__, "transformers", transformers.__version__)' \
    >import.log 2>&1 || { cat import.log; exit 1; } # had, and does not work: that is a failure
mv site.new site
echo "$want" >installed
tail -1 import.log
