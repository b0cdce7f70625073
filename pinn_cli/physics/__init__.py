"""The language of problems: symbols, domains, constraints, exact conditions, windows in time, references."""
