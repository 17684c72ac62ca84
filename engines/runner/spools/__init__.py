"""Spools on disk: writing, reading, keeping and ending them."""
