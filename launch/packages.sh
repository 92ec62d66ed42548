# launch/packages.sh - the Debian packages that thaw needs, listed once. Source it, then call
#
#     thaw_install_packages build test demo     # any of the five lists
#
# It installs what is missing and nothing else, and says so before it does.

# cmocka stands here because configuring the build looks for it.
thaw_packages_build="build-essential cmake ninja-build pkg-config libopenmpi-dev openmpi-bin
    libhdf5-dev liblmdb-dev zlib1g-dev libopenblas-openmp-dev libyaml-dev libjansson-dev
    libjpeg62-turbo-dev libpng-dev libwebp-dev libutf8proc-dev libxxhash-dev libarchive-dev
    libhwloc-dev libcmocka-dev"
thaw_packages_test="git procps clang-format clang-tidy hdf5-tools lmdb-utils python3-h5py python3-lmdb
    python3-numpy python3-pil clang libclang-rt-14-dev dataset-fashion-mnist"
# What the reference tests compare with, beside what pip gets (tests/parity/install.sh).
thaw_packages_parity="python3-torch python3-torchvision python3-pip unicode-cldr-core iso-codes"
thaw_packages_demo="libexpat1-dev fonts-noto-color-emoji unicode-cldr-core"
# For launch/examples/fashion_mnist.sh.
thaw_packages_fashion="dataset-fashion-mnist"

thaw_install_packages() {
    local list name package missing="" as_root=""

    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "thaw: this is not a Debian system; the packages needed are named in launch/packages.sh" >&2
        return 0 # they may be there under other names: the build will tell
    fi
    for list in "$@"; do
        name=thaw_packages_$list
        for package in ${!name:?no such list of packages}; do
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
                missing="$missing $package"
        done
    done
    [ -n "$missing" ] || return 0

    echo "thaw: installing with apt:$missing" >&2
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "thaw: only root can install; as root, run: apt-get install$missing" >&2
            return 1
        fi
        as_root="sudo"
    fi
    # Their output goes to stderr: stdout is for results. The word lists are split on purpose.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $missing >&2
}
