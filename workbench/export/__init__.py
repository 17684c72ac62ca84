"""Charts and tables as files: figures, tables, their provenance, and a folder of both."""
