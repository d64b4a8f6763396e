"""What ``snn-sweep --help`` says below the list of commands."""

from __future__ import annotations

from orchestration.sweep.packaged import packaged_specs

VARIABLES = {
    "SNN_SWEEP_HOME": "the folder for everything that is written here (~/.snn-sweep)",
    "MLFLOW_TRACKING_URI": "the tracking server (one is started here if it is unset)",
    "SNN_SWEEP_DATABASE_URL": "MLflow's database, read-only, for fast answers",
    "SNN_SWEEP_STORAGE": "checkpoints and spools: a shared folder or s3://bucket/prefix",
    "SNN_SWEEP_DATA": "the folder of the data sets",
    "SNN_SWEEP_ARCHIVE_MB": "megabytes that an exported file may hold once unpacked (100)",
    "SNN_SWEEP_LIMITS": "file with the limits of each user: running trials, GPU hours",
    "SNN_SWEEP_NOTIFY": "addresses of Apprise (mail, chat) to notify when `run` ends or stalls",
    "SNN_SWEEP_WAIT_FOR_REPORT": "false: `run` ends before its report is written (true)",
    "RAY_ADDRESS": "a Ray cluster for `run` (Ray is started here if it is unset)",
    "RAY_API_SERVER_ADDRESS": "a Ray cluster's job server, as --cluster",
}

EXIT_CODES = {
    "0": "done",
    "1": "trials failed, numbers differ, or the sweep is already running",
    "2": "the input was wrong; nothing was created",
    "3": "a service could not be reached",
    "130": "interrupted by Ctrl-C",
}


def epilog() -> str:
    """The packaged specs, the environment variables and the exit codes."""
    parts = [
        "Packaged specs: " + ", ".join(packaged_specs()),
        _block("Environment variables:", VARIABLES),
        _block("Exit codes:", EXIT_CODES),
    ]
    return "\n\n".join(parts)


def _block(title: str, lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
    return f"\b\n{title}\n{rows}"  # click keeps the lines of a paragraph that begins with \b
