"""Published tables as sweeps: what a table says, which of its runs there are, running the others, ours beside theirs.

`published` reads a `table`, `kept` what its runs have left on disk, `work` says which are missing, `processes` carries
them out where no launcher does, `report` does the arithmetic, `views` shows it. A table is data (``conf/published/``):
nothing here knows the name of one.
"""
