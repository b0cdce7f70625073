"""What every wing may use: errors, text, files, signals, memory. Nothing here is about PINNs."""
