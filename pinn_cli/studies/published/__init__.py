"""Published tables: runs whose numbers stand beside those of a paper, or of an earlier version.

A `table` is data (``conf/published/``). `measured` reads what its runs have left on disk, `run` carries out the
missing ones, `report` compares, and `views` shows the report.
"""
