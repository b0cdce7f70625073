"""From a checked command line to runs: one at once, or a sweep of them through a launcher.

`task` is one run as a launcher calls it, `multirun` makes a sweep of the words behind `pinn train -m`, `plugins` hands
it to a launcher of Hydra's, `tell` asks those who work on it to save and leave.
"""
