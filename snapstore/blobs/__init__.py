"""Ids to authenticated plaintext over a store, and plaintext to sealed blobs in packs.

Here: the index of what lies where, the reader, the sealing of one blob, the packs being built, and the saver that
joins them with worker threads. Not here: what the plaintext means (`format.tree`), or when a snapshot is whole
(`operations`).

Rules: a reader returns bytes only if their keyed hash is the one that was asked for. A writer opens every blob again
before it leaves. A writer that failed once refuses to go on.
"""
