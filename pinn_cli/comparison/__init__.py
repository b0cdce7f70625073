"""Runs side by side: `gather` finds what differs and what came out, `rows` and `full` make tables of it."""
