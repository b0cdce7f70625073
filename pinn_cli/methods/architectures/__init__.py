"""Networks, one file each: plain modules from points (N, D) to fields (N, F), without derivatives."""
