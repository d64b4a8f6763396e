"""The figures of a report, and how they look and are written."""
