"""One run: started, resumed, loaded."""
