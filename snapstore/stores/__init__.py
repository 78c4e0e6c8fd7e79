"""Where objects lie: names to bytes, on a folder, a stick, or in memory.

Here: the `Store` protocol and its rules for names (protocol.py), the folder (local.py with readback.py and
oserrors.py), the memory (memory.py), addresses (url.py) and mounted media (media/). Not here: what the bytes mean.

Rule: this package imports `errors` and `limits` of snapstore and nothing else of it.
"""
