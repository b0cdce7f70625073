"""One module per command: `add(parser)` declares its arguments, `run(arguments)` does the work and returns an exit code."""
