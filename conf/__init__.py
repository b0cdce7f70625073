"""The configuration files; a package so that Hydra finds them as pkg://pinn_cli.conf."""
