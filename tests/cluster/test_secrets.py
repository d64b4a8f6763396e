"""All secrets are made anew while a sweep runs."""

from __future__ import annotations

import re

import requests
from commands import wait_until
from conftest import Stack
from ledger import Ledger, audit

from services.make_secrets import NAMES, make_secrets


def reach(stack: Stack, role: str, password: str) -> bool:
    """Whether Postgres lets a role in by a password."""
    program = (
        "import psycopg, sys\n"
        "try: psycopg.connect(host='postgres', user=sys.argv[1], dbname='mlflow',"
        " password=sys.argv[2])\n"
        "except psycopg.OperationalError as error: print(error)\n"
        "else: print('let in')\n"
    )
    told = stack.compose("exec", "--no-TTY", "mlflow", "python", "-c", program, role, password)
    assert "let in" in told or "password authentication failed" in told, told
    return "let in" in told


def test_new_secrets_let_in_and_old_ones_do_not(stack: Stack) -> None:
    spec, path = stack.spec("under new secrets", epochs=40)
    search = f"{stack.tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1"
    stack.changes["MLFLOW_APP"] = "basic-auth"
    try:
        stack.compose("up", "--detach", "--wait", "mlflow")
        as_admin = {"MLFLOW_TRACKING_USERNAME": "admin"}
        as_admin["MLFLOW_TRACKING_PASSWORD"] = stack.secret("mlflow_admin")
        stack.sweep("submit", str(path), **as_admin)
        wait_until(lambda: "running" in stack.sweep("status", spec.name, **as_admin)[0])

        before = {name: stack.secret(name) for name in NAMES}
        for name in NAMES:
            (stack.folder / "secrets" / name).unlink()
        make_secrets(stack.folder / "secrets")
        # As docs/cluster.md has it:
        stack.compose("up", "--detach", "--wait", "--force-recreate", "postgres")
        roles = "/docker-entrypoint-initdb.d/roles.sh"
        stack.compose("exec", "--no-TTY", "postgres", roles)
        stack.compose("up", "--detach", "--wait", "--force-recreate")

        for role, name in (("mlflow", "mlflow_database"), ("reader", "reader_database")):
            assert reach(stack, role, stack.secret(name))
            assert not reach(stack, role, before[name])
        jobs = f"{stack.job_server}/api/jobs/"
        for token, code in ((before["ray_token"], 403), (stack.secret("ray_token"), 200)):
            headers = {"Authorization": f"Bearer {token}"}
            assert requests.get(jobs, headers=headers, timeout=10).status_code == code
        for user, name in (("admin", "mlflow_admin"), ("sweeps", "mlflow_sweeps")):
            for password, code in ((before[name], 401), (stack.secret(name), 200)):
                answer = requests.get(search, auth=(user, password), timeout=10)
                assert answer.status_code == code, (user, code)
    finally:
        del stack.changes["MLFLOW_APP"]
        stack.compose("up", "--detach", "--wait", "mlflow")
    done = f"{spec.name}: completed, "  # all of it, not one of its trials
    wait_until(lambda: done in stack.sweep("status", spec.name)[0], timeout=300)
    assert re.search("[1-4] to resume", stack.sweep("logs", spec.name)[0])
    assert audit(stack.client, spec) == Ledger()
