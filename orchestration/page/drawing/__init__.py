"""A sweep's page as HTML and SVG, from what was read. Pure."""
