"""The networks in which norms and neurons are compared."""
