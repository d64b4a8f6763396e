"""What a cell, a norm or a setting does, from seeds and curves: a table each. Pure."""
