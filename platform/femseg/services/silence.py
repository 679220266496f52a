"""What makes Ray, MLflow and DVC silent: no telemetry, no usage statistics, no doubled worker prints."""

import os

SILENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # otherwise each worker's print comes out twice
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # report() waits for the controller's poll: 2 s each by default
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old output obeys verbose=0
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own makes an interrupted search look like a finished one
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines with every run that ends on a server
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
for _name, _value in SILENCE.items():
    os.environ.setdefault(_name, _value)
