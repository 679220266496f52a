#!/bin/sh
# MLflow's server on PostgreSQL: basic authentication, artefacts through the server, every secret from a file.
set -eu
umask 077
secrets=${FEMSEG_SECRETS:-/run/secrets}
private=$(mktemp -d)
for name in postgres_password mlflow_password mlflow_session_key; do
    if [ ! -s "$secrets/$name" ]; then
        echo "error CL-09: $secrets/$name: empty or missing. Fix: sh docker/make-secrets.sh." >&2
        exit 9
    fi
done

# libpq takes the password from here, so that no address that is printed or stored holds it
export PGPASSFILE="$private/pgpass"
printf '%s:%s:*:mlflow:%s\n' "${POSTGRES_HOST:-postgres}" "${POSTGRES_PORT:-5432}" \
    "$(cat "$secrets/postgres_password")" >"$PGPASSFILE"
database="postgresql+psycopg2://mlflow@${POSTGRES_HOST:-postgres}:${POSTGRES_PORT:-5432}"

if [ -s "$secrets/s3_password" ]; then
    export AWS_SHARED_CREDENTIALS_FILE="$private/s3"
    printf '[default]\naws_access_key_id = femseg\naws_secret_access_key = %s\n' \
        "$(cat "$secrets/s3_password")" >"$AWS_SHARED_CREDENTIALS_FILE"
fi

export MLFLOW_AUTH_CONFIG_PATH="$private/auth.ini"
cat >"$MLFLOW_AUTH_CONFIG_PATH" <<INI
[mlflow]
default_permission = READ
database_uri = $database/mlflow_auth
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
INI
MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$secrets/mlflow_password")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$secrets/mlflow_session_key")
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # a third of the memory

# without the list of hosts, MLflow answers 403 to the name that other containers call it by
exec mlflow server --app-name basic-auth --backend-store-uri "$database/mlflow" \
    --serve-artifacts --artifacts-destination "${MLFLOW_ARTIFACTS:-s3://mlflow}" \
    --host "${MLFLOW_HOST:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" --workers "${MLFLOW_WORKERS:-2}" \
    --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow:5000,localhost:5000,127.0.0.1:5000}"
