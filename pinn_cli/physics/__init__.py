"""The language of problems: symbols, domains, problems, ansatz, windows in time, references."""
