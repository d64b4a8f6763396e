"""The figures of a report, a file each."""
