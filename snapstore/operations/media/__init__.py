"""Verbs for media that are plugged in.

Here: what is connected and holds which repository (listing.py), the file for whoever finds a stick (finder.py), which
repository belongs at an address (expected.py), whether a run has room (room.py), and the test of a medium that writes
(testing_medium.py). Not here: how media are found (`snapstore.stores.media`).
"""
