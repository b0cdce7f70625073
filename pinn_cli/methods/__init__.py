"""Methods, one file and one YAML each. No kind of method imports another kind."""
