"""The pages of sweeps in the tracking server: cells and seeds, live, in place of single runs."""
