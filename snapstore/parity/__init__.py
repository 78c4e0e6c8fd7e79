"""Parity over rows of bytes: what is lost of a few rows can be computed again.

`field` has the arithmetic of GF(256), `encoding` computes parity while rows go by (with a compiled twin, `native`),
`solving` computes lost rows from what is left. Pure functions over bytes: nothing here knows of packs, checksums or
where a row came from, and nothing here can tell whether a row is right. That is for `blobs.healing`.
"""
