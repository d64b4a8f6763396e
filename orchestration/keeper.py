"""``python -m orchestration.keeper``, which manifests of any version start."""

from orchestration.cluster.supervisor import main

if __name__ == "__main__":
    main()
