#!/bin/sh
# What the images install, one target each; also runs outside of an image, into the Python that comes first on PATH.
# usage: sh docker/install.sh trainer|tracking      in the repository's root
set -eu
case "$1" in
trainer) python -m pip install --no-cache-dir --constraint constraints.txt ".[cluster]" ;;
tracking) python -m pip install --no-cache-dir --constraint constraints.txt --requirement docker/tracking.txt ;;
*) echo "unknown target $1" >&2 && exit 2 ;;
esac
python -m pip check
