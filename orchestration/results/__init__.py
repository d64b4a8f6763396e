"""Numbers from records: cells, statistics, the effects of norms, two sweeps compared."""
