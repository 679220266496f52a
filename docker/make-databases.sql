-- Run once by PostgreSQL's image; the database mlflow is made by the image itself.
CREATE DATABASE mlflow_auth OWNER mlflow;
