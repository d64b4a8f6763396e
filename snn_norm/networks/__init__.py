"""The networks that norms and neurons are compared in."""
