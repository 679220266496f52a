#!/bin/sh
# One Ray node, in the foreground. usage: ray-node.sh head|worker|health
# The token, and the name and password for MLflow, come from files; they are never arguments.
set -eu
secrets=${FEMSEG_SECRETS:-/run/secrets}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$secrets/ray_token}"
head=${RAY_HEAD:-ray-head}
port=${RAY_PORT:-6379}
export RAY_JOB_STOP_WAIT_TIME_S="${RAY_JOB_STOP_WAIT_TIME_S:-90}" # a stopped training commits a checkpoint first

if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    echo "error CL-09: $RAY_AUTH_TOKEN_PATH: no token there. Fix: sh docker/make-secrets.sh." >&2
    exit 9
fi
if [ -s "$secrets/mlflow_password" ]; then # where MLflow's client looks
    mkdir -p "$HOME/.mlflow"
    (umask 077 && printf '[mlflow]\nmlflow_tracking_username = admin\nmlflow_tracking_password = %s\n' \
        "$(cat "$secrets/mlflow_password")" >"$HOME/.mlflow/credentials")
fi

case "$1" in
head)
    exec ray start --head --block --port="$port" --dashboard-host="${RAY_DASHBOARD_HOST:-0.0.0.0}" \
        --dashboard-port=8265 ${RAY_NODE_IP:+--node-ip-address="$RAY_NODE_IP"} ${RAY_CPUS:+--num-cpus="$RAY_CPUS"}
    ;;
worker)
    until ray health-check --address "$head:$port" >/dev/null 2>&1; do sleep 1; done
    exec ray start --block --address="$head:$port" \
        ${RAY_NODE_IP:+--node-ip-address="$RAY_NODE_IP"} ${RAY_CPUS:+--num-cpus="$RAY_CPUS"}
    ;;
health)
    exec python -c "
from urllib.request import Request, urlopen
token = open('$RAY_AUTH_TOKEN_PATH').read().strip()
urlopen(Request('http://127.0.0.1:8265/api/jobs/', headers={'Authorization': 'Bearer ' + token}), timeout=5)"
    ;;
*)
    echo "unknown node kind $1" >&2
    exit 2
    ;;
esac
