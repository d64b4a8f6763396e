"""From columns to text: tables in LaTeX, HTML, Markdown, CSV, JSON and a terminal; figures' style.

This room knows columns, and no table by its name.
"""
