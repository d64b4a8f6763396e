#!/bin/sh
# The roles and databases: `mlflow` owns MLflow's databases, `reader` may read the tables of results
# (services/migrate.py grants that once the tables exist). Run for a new volume, and again by hand
# after a password has been replaced: everything here may be repeated.
set -eu
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -U postgres -d postgres <<'SQL'
\set postgres_password `cat /run/secrets/postgres`
\set owner_password `cat /run/secrets/mlflow_database`
\set reader_password `cat /run/secrets/reader_database`
SET password_encryption = 'scram-sha-256';
SET log_min_error_statement = panic; -- a statement that fails must not be logged with its password
SELECT 'CREATE ROLE mlflow LOGIN' WHERE to_regrole('mlflow') IS NULL \gexec
SELECT 'CREATE ROLE reader LOGIN' WHERE to_regrole('reader') IS NULL \gexec
ALTER ROLE postgres PASSWORD :'postgres_password';
ALTER ROLE mlflow PASSWORD :'owner_password';
ALTER ROLE reader PASSWORD :'reader_password' CONNECTION LIMIT 20;
ALTER ROLE reader SET default_transaction_read_only = on;
SELECT format('CREATE DATABASE %I OWNER mlflow', name) FROM (VALUES ('mlflow'), ('mlflow_auth')) AS wanted(name)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE ALL ON DATABASE mlflow, mlflow_auth, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE mlflow TO reader;
SQL
