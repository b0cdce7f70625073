"""One module per command.

`add(parser)` declares its arguments to argparse and `run(arguments)` does the work, returning an exit code or None for
0. A command whose arguments are a configuration has `run_words(words)` instead. Heavy imports belong inside them.
"""
