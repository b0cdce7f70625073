"""The results file, ``results.h5``: the only package that imports h5py.

`layout` says what it holds. Rows are appended by *open, append, close*, uncompressed and without SWMR: whenever the
process is killed, the file opens and holds every row whose append has returned. Everything else (a new column, fields,
the network, an attribute, a cut) goes through an image in memory, which replaces the file in one ``os.replace``.
Readers open without locks, so reading never stops a run. After a failed write the HDF5 library can neither close nor
reopen its file: the process prints one line and exits at once.
"""

from pinn_cli.records.results.export import collect, export
from pinn_cli.records.results.file import Results
from pinn_cli.records.results.values import Noted

__all__ = ["Noted", "Results", "collect", "export"]
