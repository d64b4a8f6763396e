"""``python -m orchestration.job``, which clients of any version submit."""

from orchestration.cluster.job import main

if __name__ == "__main__":
    raise SystemExit(main())
