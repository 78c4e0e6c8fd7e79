"""The verbs: one module (or folder) for each thing that can be done with a repository.

Here: init, open, dossiers and their keys, history, snapshot, browsing, restore. Not here: how a verb looks to callers
(`snapstore.repository`), or how bytes are sealed and placed (`snapstore.blobs`).

Rules: a verb takes the context it needs and returns a record of `snapstore.types`. No verb prints, reads the
environment or asks anything. What is written follows docs/format/11-protocol.md: an operation may die at any line."""
