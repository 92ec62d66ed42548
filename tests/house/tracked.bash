# tests/house/tracked.bash - tracked PATTERN...: the files of the project that match, one a line. What
# is not committed is not judged: it may be half written.
#
# git refuses a folder that another user owns, which is what a container that mounts one looks like.
tracked() {
    if ! command -v git >/dev/null || ! git -c safe.directory='*' rev-parse HEAD >/dev/null 2>&1; then
        echo "SKIPPED: needs git and a clone of the project to know its files" >&2
        exit 77
    fi
    git -c safe.directory='*' ls-files --cached -- "$@" | while read -r file; do
        if [ -e "$file" ]; then echo "$file"; fi # one that was just removed is still listed
    done
}
