"""From what a user wrote to a model: lookup, catalogue, files and where they lie."""
