#!/bin/sh
# In a job with --working-dir: the code and settings that were uploaded, on a data folder that all nodes share.
# usage: ray job submit --working-dir . --runtime-env ray-runtime-env.yaml -- sh docker/in-project.sh FOLDER COMMAND...
set -eu
code=$PWD
cp params.yaml dvc.yaml "$1/"
cd "$1"
shift
export PYTHONPATH="$code/platform:$code"
exec "$@"
