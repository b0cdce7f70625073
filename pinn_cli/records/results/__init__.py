"""The results file, ``results.h5``: the only room that knows its layout.

    /                        attributes: format, pinn_version, problem, status, seed, device, dtype, started ...
    /config                  the resolved configuration (YAML)
    /source/<module>         text of the problem's file and of parts that are not the package's own; attribute sha256
    /stages                  (K,) names; /history/stage holds the index
    /history/<name>          (R,) one value per recorded row; NaN where a row has no such name
    /fields/points           (N, D); attribute coordinates
    /fields/prediction/<f>   (N,) by field and observable;   /fields/reference/<f> where one is known
    /residuals/<c>/points    (N, D);   /residuals/<c>/values (N,)
    /collocation/<c>         (N, D) the last training points
    /error/<field>           relative L2 error; attributes mean_absolute, max_absolute, reference_error
    /guard/verdict           a sentence;   /guard/ratio/<c>, /guard/relative/<c>
    /diagnostics/<name>/step        (R,) steps of its records; every other dataset (R, ...), one entry per record
    /timing/<phase>, /metrics/<name>, /unknowns/<name>, /network/<parameter>

How it is written. Rows are appended by *open, append, close*, uncompressed and without SWMR: whenever the process is
killed, the file opens and holds every row whose append has returned. Everything else (a new column, fields, the
network, an attribute, a cut) goes through an image in memory that takes the old file's place in one ``os.replace``.
Readers open without locks, so looking at a run can never stop it. An HDF5 library whose write failed can neither close
nor reopen its file: then one line is printed and the process leaves at once.
"""

from pinn_cli.records.results.export import collect, export
from pinn_cli.records.results.file import Results
from pinn_cli.records.results.values import Noted

__all__ = ["Noted", "Results", "collect", "export"]
