"""Bytes to cut points; everything here is pure.

Here: the keyed Gear table, the three cutters and the choice among them, streams of exact chunks, bundles of small
files, the cuts of tree nodes, and sorted fixed-size records (which live here because they share the compiled kernel).
docs/format/10-chunking.md is the specification. Not here: reading files, hashing or sealing chunks, deriving keys.

Rules: the same arguments give the same cuts on every platform, with or without the compiled kernel. Cuts are the
writer's business, so nothing here is needed for reading a repository back.
"""

from __future__ import annotations

from .bundles import plan_bundles
from .choose import HEAD_BYTES, CutterSet, choose_cutter, make_cutters
from .cutters import Cutter, GearCutter, PageCutter
from .gear import Gear, find_cuts
from .gear_table import gear_table
from .nodes import HOLE_KEY, ends_node, group_ends, hash_key, name_key
from .records import make_records, match_records, sort_records
from .stream import chunk_stream

__all__ = [
    "HEAD_BYTES",
    "HOLE_KEY",
    "Cutter",
    "CutterSet",
    "Gear",
    "GearCutter",
    "PageCutter",
    "choose_cutter",
    "chunk_stream",
    "ends_node",
    "find_cuts",
    "gear_table",
    "group_ends",
    "hash_key",
    "make_cutters",
    "make_records",
    "match_records",
    "name_key",
    "plan_bundles",
    "sort_records",
]
