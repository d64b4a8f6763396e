"""What must be refused, and what must not be told."""

from __future__ import annotations

import re
import socket
from urllib.parse import quote

import psutil
import pytest
import requests
from commands import wait_until
from conftest import Stack, run

from services.make_secrets import NAMES


@pytest.mark.parametrize(("headers", "code"), [({}, 401), ({"Authorization": "Bearer x"}, 403)])
def test_the_job_server_wants_the_token(stack: Stack, headers: dict[str, str], code: int) -> None:
    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary", "/api/cluster_status"):
        answer = requests.get(stack.job_server + path, headers=headers, timeout=10)
        assert answer.status_code == code, path
    job = {"entrypoint": "true"}
    answer = requests.post(f"{stack.job_server}/api/jobs/", json=job, headers=headers, timeout=10)
    assert answer.status_code == code


def test_the_command_says_that_the_token_is_wrong(stack: Stack) -> None:
    _, told = stack.sweep("submit", "digits", code=3, RAY_AUTH_TOKEN="x", RAY_AUTH_TOKEN_PATH="")
    assert "refuses the token" in told
    assert "Traceback" not in told


def test_a_node_without_the_token_is_refused(stack: Stack) -> None:
    container = stack.container("ray-worker")
    health = ["ray", "health-check", "--address", "ray-head:6379"]
    right = ["docker", "exec", container, *health]
    run(*right)
    wrong = ["docker", "exec", "--env=RAY_AUTH_TOKEN=x", "--env=RAY_AUTH_TOKEN_PATH=", container]
    with pytest.raises(AssertionError, match=r"(?i)token|unauthenticated"):
        run(*wrong, "ray", "list", "nodes", "--address", "http://ray-head:8265")
    with pytest.raises(AssertionError):
        run(*wrong, *health)


def test_a_foreign_host_is_refused(stack: Stack) -> None:
    url = f"{stack.tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(url, timeout=10).status_code == 200
    for host in ("evil.example", "10.0.0.1:5000", f"mlflow.evil.example:{stack.mlflow_port}"):
        assert requests.get(url, headers={"Host": host}, timeout=10).status_code == 403, host
    origin = {"Origin": "http://evil.example"}
    create = f"{stack.tracking_uri}/api/2.0/mlflow/experiments/create"
    assert requests.post(create, json={"name": "x"}, headers=origin, timeout=10).status_code == 403


def test_postgres_is_out_of_a_workers_reach(stack: Stack) -> None:
    address = run(
        "docker",
        "inspect",
        "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        stack.container("postgres"),
    ).strip()
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 5432), timeout=4)"
    reach = ("exec", "--no-TTY", "{}", "python", "-c", connect, address)
    stack.compose(*(part.format("mlflow") for part in reach))
    for service in ("ray-worker", "ray-head"):
        for host in (address, "postgres"):
            with pytest.raises(AssertionError, match=r"timed out|not known|resolution|unreachable"):
                stack.compose("exec", "--no-TTY", service, "python", "-c", connect, host)


def test_published_ports_answer_on_the_loopback_interface_alone(stack: Stack) -> None:
    others = {
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    }
    assert others, "this machine has no other address to try"
    for port in (stack.mlflow_port, stack.ray_port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        for address in others:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), timeout=5)
    published = run("docker", "ps", f"--filter=name={stack.project}", "--format={{.Ports}}")
    assert published.count("->") == 2, "something else is published"
    assert "0.0.0.0:" not in published


def test_the_reading_role_reads_what_answers_need_and_nothing_else(stack: Stack) -> None:
    def as_reader(statement: str, database: str = "mlflow") -> str:
        program = (
            "import psycopg; password = open('/run/secrets/reader_database').read(); "
            f"database = psycopg.connect(host='postgres', user='reader', dbname='{database}', "
            f"password=password); print(database.execute({statement!r}).fetchone())"
        )
        return stack.compose(
            *("run", "--rm", "--no-deps", "--entrypoint=python", "answers", "-c", program)
        )

    assert "(" in as_reader("SELECT count(*) FROM metrics")
    for statement, database in (
        ("SELECT count(*) FROM registered_models", "mlflow"),
        ("INSERT INTO tags VALUES ('a', 'b', 'c') RETURNING 1", "mlflow"),
        ("SET default_transaction_read_only = off; DELETE FROM tags RETURNING 1", "mlflow"),
        ("SELECT 1", "mlflow_auth"),
        ("SELECT 1", "postgres"),
    ):
        with pytest.raises(AssertionError, match=r"permission denied|read-only transaction"):
            as_reader(statement, database)


def test_passwords_are_stored_and_asked_for_by_scram(stack: Stack) -> None:
    def ask(statement: str) -> str:
        psql = ("psql", "-U", "postgres", "-At", "-c", statement)
        return stack.compose("exec", "--no-TTY", "postgres", *psql)

    kinds = ask("SELECT left(rolpassword, 13) FROM pg_authid WHERE rolcanlogin").split()
    assert kinds == ["SCRAM-SHA-256"] * 3
    rules = ask(
        "SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type LIKE 'host%' "
        "AND (address = 'all' OR address LIKE '0.0.0.0%')"
    ).split()
    assert rules == ["scram-sha-256"]


def test_no_secret_is_told(stack: Stack) -> None:
    ids = stack.compose("ps", "--all", "--quiet").split()
    told = stack.compose("logs", "--no-color") + run("docker", "inspect", *ids)
    told += stack.compose("config")
    for experiment in stack.client.search_experiments():
        for recorded in stack.client.search_runs([experiment.experiment_id]):
            told += str(recorded.to_dictionary())
    for name in NAMES:
        assert stack.secret(name) not in told, name


def test_nothing_of_ours_runs_as_root(stack: Stack) -> None:
    for service in ("mlflow", "ray-head", "ray-worker", "keeper"):
        assert stack.compose("exec", "--no-TTY", service, "id", "-u").strip() == "1000"


def test_mlflow_with_passwords_by_a_setting(stack: Stack) -> None:
    search = f"{stack.tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1"
    admin = ("admin", stack.secret("mlflow_admin"))
    stack.changes["MLFLOW_APP"] = "basic-auth"
    try:
        stack.compose("up", "--detach", "--wait", "mlflow")
        wait_until(lambda: requests.get(search, timeout=10).status_code == 401)
        assert requests.get(search, auth=("admin", "x"), timeout=10).status_code == 401
        assert requests.get(search, auth=admin, timeout=10).status_code == 200
        alice = ("alice", "a password of hers")
        create = f"{stack.tracking_uri}/api/2.0/mlflow/users/create"
        new = dict(zip(("username", "password"), alice, strict=True))
        assert requests.post(create, json=new, auth=admin, timeout=10).status_code == 200
        _, path = stack.spec("with a password", epochs=1)
        password = {"MLFLOW_TRACKING_USERNAME": alice[0], "MLFLOW_TRACKING_PASSWORD": alice[1]}
        stack.sweep("submit", str(path), "--wait", **password)
        status, _ = stack.sweep("status", "with a password", **password)
        assert "completed, 4 of 4 finished" in status
        # What a trial's code can read lets it into its own sweeps alone.
        nodes = ("sweeps", stack.secret("mlflow_sweeps"))
        mallory = {"username": "mallory", "password": "a password of hers", "is_admin": True}
        assert requests.post(create, json=mallory, auth=nodes, timeout=10).status_code == 403
        others = f"{stack.tracking_uri}/api/2.0/mlflow/experiments"
        hers = {"name": "of alice"}
        made = requests.post(f"{others}/create", json=hers, auth=alice, timeout=10).json()
        answer = requests.post(f"{others}/delete", json=made, auth=nodes, timeout=10)
        assert answer.status_code == 403
    finally:
        del stack.changes["MLFLOW_APP"]
        stack.compose("up", "--detach", "--wait", "mlflow")


def test_the_name_of_ones_own_experiment_leads_to_no_other_sweep(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a login, and with the pages that stop sweeps; the intruder may create experiments."""
    admin = ("admin", stack.secret("mlflow_admin"))
    mallory = ("mallory", "a password of hers")
    api = f"{stack.tracking_uri}/api"
    stack.changes["MLFLOW_APP"] = "basic-auth"
    stack.changes["COMPOSE_FILE"] = "docker-compose.yml:docker-compose.page.yml"
    password = {"MLFLOW_TRACKING_USERNAME": admin[0], "MLFLOW_TRACKING_PASSWORD": admin[1]}

    def act(name: str, act: str, user: tuple[str, str]) -> requests.Response:
        return requests.post(
            f"{stack.tracking_uri}/sweeps/{quote(name, safe='')}/{act}",
            data={"token": "x" * 43, "count": "1"},
            auth=user,
            cookies={"snn-sweep-token": "x" * 43},
            headers={"origin": stack.tracking_uri},
            timeout=200,
            allow_redirects=False,
        )

    try:
        stack.compose("up", "--detach", "--wait", "mlflow")
        new = dict(zip(("username", "password"), mallory, strict=True))
        made = requests.post(f"{api}/2.0/mlflow/users/create", json=new, auth=admin, timeout=10)
        assert made.status_code == 200
        _, path = stack.spec("victim", epochs=1000)
        stack.sweep("submit", str(path), **password)
        running = re.compile(r"^victim +running", re.MULTILINE)
        wait_until(lambda: running.search(stack.sweep("list", **password)[0]) is not None)
        for name, value in zip(password, admin, strict=True):
            monkeypatch.setenv(name, value)
        victim = stack.client.get_experiment_by_name("victim")
        assert victim is not None
        right = {
            "username": mallory[0],
            "permission": "DENY",
            "resource_type": "experiment",
            "resource_id": victim.experiment_id,
        }
        grant = f"{api}/3.0/mlflow/users/permissions/grant"
        assert requests.post(grant, json=right, auth=admin, timeout=10).status_code == 200
        for name, value in zip(password, mallory, strict=True):
            monkeypatch.setenv(name, value)
        for name in ("./victim", "victim/", "zzz/victim", "x/../victim"):
            tags = {
                "snn_sweep.role": "sweep",
                "snn_sweep.name": name,
                "snn_sweep.status": "running",
                "snn_sweep.spec": path.read_text(),
            }
            stack.client.create_run(stack.client.create_experiment(name), tags=tags)
            page = f"{stack.tracking_uri}/sweeps/{quote(name, safe='')}"
            seen = requests.get(page, auth=mallory, timeout=60)
            assert seen.status_code == 200
            assert "sweep-victim-" not in seen.text  # the job that drives it
            for what in ("stop", "seeds"):
                refusal = act(name, what, mallory)
                assert refusal.status_code == 409
                assert "must not hold / or" in refusal.text
        assert act("victim", "stop", mallory).status_code == 404
        assert "victim: running" in stack.sweep("status", "victim", **password)[0]
        assert act("victim", "stop", admin).status_code == 303
        stopped = "victim: stopped"
        wait_until(lambda: stopped in stack.sweep("status", "victim", **password)[0])
    finally:
        del stack.changes["MLFLOW_APP"], stack.changes["COMPOSE_FILE"]
        stack.compose("up", "--detach", "--wait", "mlflow")
