"""Indexes against the packs that are listed, and the order in which the parts of a repository are looked at.

Here: `look_at_structure`. Not here: single objects (`objects`), dossiers (`dossiers`), what snapshots need (`reach`).

Rules: the maintenance key is all that is needed, and everything goes on after damage. What another station is doing at
the moment is no damage: packs that no index names yet, packs that are condemned, indexes that name packs which are
gone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ...blobs.catalogue import Catalogue, read_pack_header
from ...blobs.index import BlobIndex
from ...blobs.lanes import each_side_by_side
from ...crypto.derivation import digest
from ...errors import DamageError, NotEnrolledError, StoreError, UnsupportedFormatError
from ...format.index import IndexedPack
from ...format.names import CONFIG, PACKS, pack_path
from ...format.pack import COUNT, ENTRY_BYTES, BlobKind, decode_rows
from ...stores.cached import uncached
from ..context import RepositoryContext
from ..reading import is_fault_of_place
from .dossiers import look_at_dossiers
from .found import Structure
from .objects import ObjectReader
from .report import Findings


def look_at_structure(context: RepositoryContext, reader: ObjectReader, findings: Findings) -> Structure:
    """Read everything but packs. Raises NotEnrolledError without keys, StoreError."""
    reader.list_all()
    reader.read_all()
    if not reader.seen.listed[CONFIG]:
        findings.damage("config_missing", CONFIG, "There is no config object: nobody can open this repository anew.")
    files = context.state.index_cache(context.config.repository_id, context.config.medium_id)
    packs = {item.name.rpartition("/")[2]: item.size for item in reader.seen.listed[PACKS]}
    structure = Structure(reader.seen, BlobIndex(files), packs)
    for name, condemned in sorted(reader.seen.condemned.items()):
        message = f"{name}: a prune that deletes {len(condemned)} packs did not end yet."
        findings.remark("condemn_pending", name, message)
    _read_indexes(structure, reader, findings)
    read_unindexed(context, structure, findings)
    look_at_dossiers(context, structure, findings)
    return structure


# --- indexes ------------------------------------------------------------------------------------------------------


def _read_indexes(structure: Structure, reader: ObjectReader, findings: Findings) -> None:
    known: dict[str, bytes] = {}
    for name, packs in reader.indexes():
        stale = 0
        new = []
        for pack in packs or ():
            facts = digest(COUNT.pack(pack.pack_size) + pack.entries_bytes)[:16]
            if known.setdefault(pack.name, facts) != facts:
                message = f"{name} says something else of the pack {pack.name} than another index object."
                findings.damage("index_differs", name, message)
                structure.suspects.add(pack.name)
            elif _take_pack(structure, pack, findings):
                new.append(pack)
            else:
                stale += 1
        structure.index.load(new)
        if stale:
            findings.remark("stale_index", name, f"{name} names {stale} packs that are not there any more.")


def _take_pack(structure: Structure, pack: IndexedPack, findings: Findings) -> bool:
    """Compare what an index says of a pack with the listing. False if the pack is not there."""
    size = structure.packs.get(pack.name)
    if size is None:
        structure.absent[pack.name] = pack.entries_bytes
        return False
    try:
        pack.entries()
    except (DamageError, UnsupportedFormatError) as error:
        findings.damage(error.code, pack_path(pack.name), f"What an index says of {pack_path(pack.name)}: {error}")
        structure.suspects.add(pack.name)
        return False
    if _is_of_trees(pack):
        structure.tree_packs.add(pack.name)
    if size != pack.pack_size:
        path = pack_path(pack.name)
        message = f"{path} has {size} bytes and was stored with {pack.pack_size}."
        findings.damage("pack_size_differs", path, message)
        structure.suspects.add(pack.name)
    return True


def read_unindexed(context: RepositoryContext, structure: Structure, findings: Findings) -> list[str]:
    """Read the headers of packs that no index names, and return these.

    A run that was interrupted left them, or is under way, or an index is missing."""
    names = [name for name in structure.packs if name not in structure.index and name not in structure.suspects]
    store = uncached(context.store)
    catalogue = replace(context.catalogue(), store=store, files=None)
    calls = [partial(_read_header, catalogue, name, structure.packs[name]) for name in names]
    for name, pack in zip(names, each_side_by_side(store, calls), strict=True):
        findings.remark("unindexed_pack", pack_path(name), f"{pack_path(name)} is named by no index.")
        if pack is None:
            structure.suspects.add(name)
            continue
        structure.index.load([pack])
        if _is_of_trees(pack):
            structure.tree_packs.add(name)
    return names


def _read_header(catalogue: Catalogue, name: str, size: int) -> IndexedPack | None:
    """Return what a pack says of itself; None where reading all of it will tell why not."""
    try:
        return read_pack_header(catalogue, name, size, [])
    except NotEnrolledError:
        return None
    except StoreError as error:
        if not is_fault_of_place(catalogue.store, error):
            raise
        return None


def _is_of_trees(pack: IndexedPack) -> bool:
    (first,) = decode_rows(pack.entries_bytes[COUNT.size : COUNT.size + ENTRY_BYTES])
    return first.kind == BlobKind.TREE
