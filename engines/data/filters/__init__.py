"""What is left out of a text before training on it, or put in another order; and the record of it. Pure; no torch.

- `chain`: rules one after the other, with what each removed
- `rules`: length, compression ratio, repetition     - `duplicates`: exact and near copies
- `order`: a curriculum, and choosing by a proxy model's loss
"""
