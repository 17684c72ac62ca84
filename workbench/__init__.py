"""The whole application without Qt: experiments, plans, the store, metrics, comparison, charts, exports, commands."""
