"""The command snn-sweep."""
