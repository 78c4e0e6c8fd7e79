"""Keys and what is done with them: derivation, sealing, hashing, signing, wrapping.

Here: one module per job, as chapters 02 and 05 of docs/format set them out. Not here: the shape of any stored object
(`snapstore.format`), compression (`snapstore.codec`), where keys are kept (`snapstore.station`).

Rules: nothing reads a clock, a file or the environment; randomness comes from `entropy` alone, and whatever needs it
also takes it as an argument where a test must fix it. A class that holds a key has a `repr` that does not show it.
Opening bytes that are not whole raises `DamagedObjectError` and nothing else.
"""
