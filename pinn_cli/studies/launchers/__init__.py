"""Launchers: classes that carry out the runs of a sweep (`base.Launcher`), chosen by `hydra/launcher=NAME`.

`basic` runs them one after the other in this process, `local` in a `pool` of processes, `dask` on the workers of a
cluster; a folder is a launcher that submits its runs to a queue. `choose` finds the class that a name stands for.
"""
