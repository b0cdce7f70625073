"""Files of a run: results file, checkpoint, lock, run folder, provenance, summary."""
