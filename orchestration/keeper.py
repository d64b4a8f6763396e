"""``python -m orchestration.keeper``, which manifests of any version start."""

from orchestration.cluster.keeper import main

if __name__ == "__main__":
    main()
