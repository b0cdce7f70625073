"""What one chooses to train with: one file and one YAML each. No kind of method imports another kind."""
