"""What lies on disk: results file, checkpoint, lock, run folder, provenance."""
