#!/bin/sh
# Random secrets for docker/compose.yaml, one file each, for their owner alone; what exists stays.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
for name in ray_token postgres_password mlflow_password mlflow_session_key s3_password; do
    [ -s "$folder/$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
done
echo "$folder: ray_token, postgres_password, mlflow_password (user admin), mlflow_session_key, s3_password (user femseg)"
