"""What the parameters of a family are drawn from: one file per kind, and the contract in `base.py`."""
