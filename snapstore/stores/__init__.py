"""Where objects lie: names to bytes, in a folder, on a stick, on a server, or in memory.

Here: the `Store` protocol and its rules for names (protocol.py); the stores: a folder (local.py with root.py,
building.py, readback.py and oserrors.py), media (media/, medium_store.py, settling.py), memory (memory.py), servers
(sftp/, ftp/, objects/); addresses and what is said besides (url.py, address.py, options.py); and what is put around a
store (wrapper.py): trying again (retrying.py), limits of bandwidth (throttled.py) and of room (watched.py), only
looking (read_only.py), a cache (cached.py), and listings side by side (ahead.py). Not here: what the bytes mean.

Rule: this package imports `errors` and `limits` of snapstore and nothing else of it.
"""
