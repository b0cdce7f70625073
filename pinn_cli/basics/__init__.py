"""What every room may use: errors, text, files, signals, memory. It knows nothing of pinn's own ideas."""
