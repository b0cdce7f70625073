"""From typed words to checked parts. Nothing below this wing reads a configuration."""
