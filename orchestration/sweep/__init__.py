"""What a sweep wants and what is still to do: spec, grid, trials, plan. Pure: starts nothing."""
