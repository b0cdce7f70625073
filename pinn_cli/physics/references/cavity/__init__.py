"""The lid-driven cavity: Chebyshev collocation, published tables, and the metrics of the field."""
