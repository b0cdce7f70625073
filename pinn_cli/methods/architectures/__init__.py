"""Networks: plain modules from points (N, D) to fields (N, F), with no derivative in them."""
