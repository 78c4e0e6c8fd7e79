"""What is to be saved: reading file trees.

Here: the shape that several source paths give (`layout`), directories and what is in them (`directory`, `scanned`),
file contents (`file`), attributes beyond the mode (`attributes`), what is left out (`excludes`). Not here: what
becomes of any of it, which is for `snapstore.operations`.

Rules: nothing is ever written and nothing below a source is followed; names are bytes (docs/format/07-trees.md); what
cannot be read is a `Problem` or an `OSError` for the caller to turn into one, never a shorter listing that looks whole.
"""
