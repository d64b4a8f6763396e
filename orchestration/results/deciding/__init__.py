"""Seeds until decided: what comparisons have come to, and which seeds are next. Pure."""
