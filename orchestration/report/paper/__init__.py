"""The tables and numbers of sweeps for a paper, and a check that the record still has them."""
