"""Whole experiments out of a store and into another, as Parquet files."""
