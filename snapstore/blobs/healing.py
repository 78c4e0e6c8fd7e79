"""Healing a pack by its parity sidecar.

Here: `heal_pack`, and `Sidecars`, which finds them. Not here: how sidecars come about (sidecars.py), and what becomes
of what was healed: it is stored again under a new name, by who repairs.

Rules (docs/format/13-parity.md): no key is needed. What is lost is known from sectors that could not be read and from
blocks whose checksum does not fit; as long as a block's unreadable sectors may be all that it lost, these alone are
solved for, since scattered sectors then seldom meet. A sidecar may be damaged too: either of its heads will do, and
parity blocks are judged as the pack's are. Nothing that a sidecar says is trusted: bytes come out only if the hash in
the pack's name fits them, else None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ..crypto.derivation import digest
from ..errors import DamageError, StoreError, UnsupportedFormatError
from ..format.names import name_matches, pack_path, parity_folder
from ..format.parity import LIKELY_HEAD_BYTES, ParityHead, block_check, decode_head, decode_last_head
from ..limits import MAX_OBJECT_BYTES, PARITY_BLOCK_BYTES, PARITY_SECTOR_BYTES
from ..parity.encoding import parity_of
from ..parity.solving import add, solve
from ..stores.protocol import Store, StoredObject
from .lanes import each_side_by_side
from .patchy import Patchy, is_fault_of_place, read_patchy

_SECTORS = PARITY_BLOCK_BYTES // PARITY_SECTOR_BYTES
_NONE_LOST, _ALL_LOST = 0, (1 << _SECTORS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedPack:
    """A pack whose bytes fit its name again."""

    data: bytes
    sidecar: str | None
    """Full name of the sidecar that healed it; None if nothing had to be healed."""
    healed_bytes: int
    """Of blocks that were lost, or of which a part was."""


class Sidecars:
    """Which sidecars there are, by pack. Each folder is listed once, when a pack of it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folders: dict[str, dict[str, list[StoredObject]]] = {}

    def of(self, pack: str) -> list[tuple[str, ParityHead]]:
        """Full names and heads of a pack's sidecars. Raises StoreError where the store as a whole fails."""
        folder = parity_folder(pack)
        if folder not in self._folders:
            self._folders[folder] = self._look(folder)
        heads = read_heads(self._store, self._folders[folder].get(pack, []))
        return [(name, head) for name, head in heads if head is not None]

    def _look(self, folder: str) -> dict[str, list[StoredObject]]:
        """Only names are kept: heads are up to 18 KiB each, and there is one for each pack."""
        listed = list(self._store.list(folder))
        found: dict[str, list[StoredObject]] = {}
        for item, (_, head) in zip(listed, read_heads(self._store, listed), strict=True):
            if head is not None:
                found.setdefault(head.pack, []).append(item)
        return found


def read_heads(store: Store, sidecars: Iterable[StoredObject]) -> Iterator[tuple[str, ParityHead | None]]:
    """Yield each sidecar's full name and head; None where neither of its heads can be read."""
    listed = list(sidecars)
    heads = each_side_by_side(store, [partial(_read_head, store, item.name, item.size) for item in listed])
    return zip([item.name for item in listed], heads, strict=True)


def heal_pack(
    store: Store,
    pack: str,
    pack_size: int,
    sidecars: Sidecars | None = None,
    step: Callable[[], None] = lambda: None,
) -> HealedPack | None:
    """Read a pack, heal what is lost of it, and return it if its bytes fit its name, which `pack` is.

    `pack_size` is what an index or a listing says; a sidecar knows better. Give the same `sidecars` for all packs of a
    repair. `step` is called between reads and may raise. Raises StoreError where the store as a whole fails.
    """
    found = (sidecars or Sidecars(store)).of(pack)
    read: dict[int, Patchy] = {}

    def patchy(size: int) -> Patchy:
        if size not in read:
            read[size] = read_patchy(store, pack_path(pack), size, step)
        return Patchy(bytearray(read[size].data), set(read[size].bad))

    for size in dict.fromkeys([*[head.shape.pack_size for _, head in found], min(pack_size, MAX_OBJECT_BYTES)]):
        data = patchy(size).data
        if name_matches(pack, digest(data)):
            return HealedPack(data=bytes(data), sidecar=None, healed_bytes=0)
    for name, head in found:
        body = _read_body(store, name, head, step)
        healing = _Healing(head, patchy(head.shape.pack_size), body)
        if healing.run() and name_matches(pack, digest(healing.data)):
            return HealedPack(data=bytes(healing.data), sidecar=name, healed_bytes=healing.healed_bytes)
    return None


def _read_head(store: Store, name: str, size: int) -> ParityHead | None:
    """The first head or the second; of a sidecar that cannot be read in one piece, what is left of them."""
    some = min(size, LIKELY_HEAD_BYTES)
    for offset, decode in ((0, decode_head), (size - some, decode_last_head)):
        try:
            return decode(store.get(name, offset=offset, size=some))
        except (DamageError, UnsupportedFormatError):
            continue
        except StoreError as error:
            if not is_fault_of_place(store, error):
                raise
    whole = read_patchy(store, name, min(size, MAX_OBJECT_BYTES)).data
    for decode in (decode_head, decode_last_head):
        try:
            return decode(bytes(whole))
        except (DamageError, UnsupportedFormatError):
            continue
    return None


def _read_body(store: Store, name: str, head: ParityHead, step: Callable[[], None]) -> Patchy:
    """The body of a sidecar, its sectors counted from its own beginning."""
    shape = head.shape
    whole = read_patchy(store, name, shape.sidecar_size, step)
    start, end = shape.head_size, shape.head_size + shape.body_size
    body = Patchy(whole.data[start:end])
    for sector in whole.bad:  # they lie askew to those of the body: each touches two of these
        first = max(sector * PARITY_SECTOR_BYTES, start) - start
        last = min((sector + 1) * PARITY_SECTOR_BYTES, end) - start
        if first < last:
            body.bad.update(range(first // PARITY_SECTOR_BYTES, -(-last // PARITY_SECTOR_BYTES)))
    return body


class _Healing:
    """One pack and one sidecar of it."""

    def __init__(self, head: ParityHead, pack: Patchy, body: Patchy) -> None:
        self.data = pack.data
        self.healed_bytes = 0
        self._head = head
        self._shape = head.shape
        self._body = body.data
        self._lost = _losses(pack, self._shape.blocks, head.data_check)
        is_copy = not self._shape.parity_rows
        count = self._shape.blocks if is_copy else self._shape.parity_blocks
        self._lost_parity = _losses(body, count, head.data_check if is_copy else head.parity_check)

    def run(self) -> bool:
        """Put back what is lost; False if that cannot be done."""
        if not self._shape.parity_rows:
            return all(self._copy_block(block) for block, lost in enumerate(self._lost) if lost)
        return all(self._solve_place(place) for place in range(self._shape.row_blocks))

    # --- a copy --------------------------------------------------------------------------------------------------

    def _copy_block(self, block: int) -> bool:
        """Take a block from the copy; where that is hurt too, only what the pack lacks of it."""
        start, end = _block_range(block, self._shape.pack_size)
        copied = self._body[start:end]
        if self._lost_parity[block]:
            mixed = bytearray(self.data[start:end])
            for at in _sector_ranges(self._lost[block], len(mixed)):
                mixed[at] = copied[at]
            copied = mixed
        self.data[start:end] = copied
        self.healed_bytes += end - start
        return block_check(bytes(copied)) == self._head.data_check(block)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _blocks_at(self, place: int) -> list[int]:
        """The blocks of all rows at one place; the last row may have none there, and counts as zeros."""
        return [row * self._shape.row_blocks + place for row in range(self._shape.data_rows)]

    def _solve_place(self, place: int) -> bool:
        """Solve for what is lost at one place of the rows, first for the sectors that are known to be lost alone."""
        blocks = self._blocks_at(place)
        parity = [row * self._shape.row_blocks + place for row in range(self._shape.parity_rows)]
        lost = [self._lost[block] if block < self._shape.blocks else _NONE_LOST for block in blocks]
        lost_parity = [self._lost_parity[block] for block in parity]
        if not any(lost):
            return True
        for _ in range(2):
            if self._solve_sectors(place, lost, lost_parity):
                return True
            lost = [_ALL_LOST if mask else mask for mask in lost]
            lost_parity = [_ALL_LOST if mask else mask for mask in lost_parity]
        return False

    def _solve_sectors(self, place: int, lost: list[int], lost_parity: list[int]) -> bool:
        rows = [_without(self._row(block), mask) for block, mask in zip(self._blocks_at(place), lost, strict=True)]
        start = place * PARITY_BLOCK_BYTES
        stride = self._shape.row_blocks * PARITY_BLOCK_BYTES
        found = parity_of([bytes(row) for row in rows], self._shape.parity_rows)
        sums = [
            add(bytes(self._body[start + number * stride : start + number * stride + PARITY_BLOCK_BYTES]), row)
            for number, row in enumerate(found)
        ]
        for sectors, missing, usable in _alike(lost, lost_parity):
            if len(missing) > len(usable):
                return False
            given = {number: b"".join([sums[number][at] for at in sectors]) for number in usable}
            solved = solve(missing, self._shape.data_rows, given)
            for number, row in zip(missing, solved, strict=True):
                for order, at in enumerate(sectors):
                    rows[number][at] = row[order * PARITY_SECTOR_BYTES : (order + 1) * PARITY_SECTOR_BYTES]
        return self._take(place, rows, lost)

    def _take(self, place: int, rows: list[bytearray], lost: list[int]) -> bool:
        """Put solved blocks into the pack if all their checksums fit."""
        solved = []
        for block, row, mask in zip(self._blocks_at(place), rows, lost, strict=True):
            if mask:
                start, end = _block_range(block, self._shape.pack_size)
                data = bytes(row[: end - start])
                if block_check(data) != self._head.data_check(block):
                    return False
                solved.append((start, end, data))
        for start, end, data in solved:
            self.data[start:end] = data
            self.healed_bytes += end - start
        return True

    def _row(self, block: int) -> bytearray:
        start = block * PARITY_BLOCK_BYTES
        return self.data[start : start + PARITY_BLOCK_BYTES].ljust(PARITY_BLOCK_BYTES, b"\0")


def _losses(patchy: Patchy, blocks: int, check: Callable[[int], bytes]) -> list[int]:
    """For each block the sectors that are lost, as bits: none, those that could not be read, or all."""
    losses = []
    for block in range(blocks):
        start, end = _block_range(block, len(patchy.data))
        if block_check(bytes(patchy.data[start:end])) == check(block):
            losses.append(_NONE_LOST)
            continue
        first = block * _SECTORS
        mask = sum(1 << sector for sector in range(_SECTORS) if first + sector in patchy.bad)
        losses.append(mask or _ALL_LOST)
    return losses


def _alike(lost: list[int], lost_parity: list[int]) -> Iterator[tuple[list[slice], tuple[int, ...], tuple[int, ...]]]:
    """Yield the sectors of a block that have lost the same rows, these rows, and the parity rows that they have."""
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[slice]] = {}
    for sector in range(_SECTORS):
        missing = tuple(number for number, mask in enumerate(lost) if mask >> sector & 1)
        usable = tuple(number for number, mask in enumerate(lost_parity) if not mask >> sector & 1)
        if missing:
            at = slice(sector * PARITY_SECTOR_BYTES, (sector + 1) * PARITY_SECTOR_BYTES)
            groups.setdefault((missing, usable), []).append(at)
    for (missing, usable), sectors in groups.items():
        yield sectors, missing, usable


def _without(row: bytearray, mask: int) -> bytearray:
    """A row with zeros for what is lost of it."""
    for at in _sector_ranges(mask, len(row)):
        row[at] = bytes(at.stop - at.start)
    return row


def _sector_ranges(mask: int, size: int) -> Iterator[slice]:
    """The ranges that the bits of a mask stand for, in a block of `size` bytes."""
    for sector in range(_SECTORS):
        start = sector * PARITY_SECTOR_BYTES
        if mask >> sector & 1 and start < size:
            yield slice(start, min(start + PARITY_SECTOR_BYTES, size))


def _block_range(block: int, size: int) -> tuple[int, int]:
    start = block * PARITY_BLOCK_BYTES
    return start, min(start + PARITY_BLOCK_BYTES, size)
