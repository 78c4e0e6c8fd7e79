"""Where objects lie: names to bytes, on a folder, a stick, or in memory.

Here: the `Store` protocol and its rules for names (protocol.py), the folder (local.py with readback.py and
oserrors.py), the memory (memory.py), addresses (url.py), mounted media (media/, medium_store.py),
and what has all of them on the device (settling.py) with room to spare (watched.py). Not here: what the bytes mean.

Rule: this package imports `errors` and `limits` of snapstore and nothing else of it.
"""
