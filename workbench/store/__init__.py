"""The store: one DuckDB file, its one owner, and everybody else who asks the owner.

- `operations`: everything that can be asked of a store, as values; the only module most callers need.
- `open`: `open_store(path)`: become the owner, or a guest of whoever is.
- `local`: the owner's side, with one module per family of operations: `reading`, `writing`, `ingest`, `recording`,
  `query`.
- `sharing`: `owner`, `remote`, `wire`, `lockfile`: the socket beside the database.
- `bundles`: whole experiments out of a store and into another.
- `opening`, `migrate`, `faults`: making, checking and migrating the file, and what can be wrong with it.
- `records`: a stored trial as records again, or ready for charts.

Nothing here imports duckdb or pyarrow before a store is opened: a window paints first.
"""
