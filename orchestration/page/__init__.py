"""The tracking server's live pages of sweeps, which show cells and seeds instead of single runs."""
