"""Verbs for media that are plugged in.

Here: what is connected and holds which repository (listing.py), the file for whoever finds a stick (finder.py), which
repository belongs at an address (expected.py), and the test of a medium that writes (testing_medium.py, with
own_files.py and patterns.py). Not here: how media are found (`snapstore.stores.media`), and whether a snapshot has room
(`operations.snapshot.room`).
"""
