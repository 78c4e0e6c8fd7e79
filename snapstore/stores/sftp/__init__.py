"""The store on an SFTP server (extra `sftp`).

Here: `store.SftpStore` and what it is made of, from bytes up: wire.py (the protocol's messages), client.py (requests
under way on one channel), loop.py (the thread in which all of that runs), hostkeys.py and connecting.py (SSH, which
asyncssh does), pool.py (connections), listing.py, uploading.py and downloading.py (what the store does), failures.py
(what a server refuses, as errors). Not here: addresses (../url.py), and trying again (../retrying.py).

Rule: nothing is imported here, and asyncssh only when a connection is made: a program that has no such store pays
nothing for it.
"""
