#!/bin/sh
# Install the wheel and the sdist in $1/dist, each in a fresh environment, and see that papa is all there.
set -eu
work=$1
for archive in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
    venv=$work/venv
    rm -rf "$venv"
    python -m venv "$venv"
    "$venv/bin/pip" install --quiet "$archive"
    cd /
    "$venv/bin/twistd" --help | grep -q '^ *papa '
    "$venv/bin/papa" --version
    grep -q '^\.TH PAPA 1' "$venv/share/man/man1/papa.1"
    PAPA_RUNTIME_DIR=$work/run "$venv/bin/papa" status && exit 1 || test $? -eq 69
    case $("$venv/bin/pip" show --files papa) in *dropin.cache*|*tests/*) echo "stray files in $archive"; exit 1;; esac
done
