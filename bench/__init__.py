"""The benchmark: Cinecord beside the least bot that does the same job, on this machine, as ratios."""
