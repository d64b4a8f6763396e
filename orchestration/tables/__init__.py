"""The tables of results, one file each: numbers, columns, notes, macros, where they are shown."""
