"""Restores a snapshot from a repository in a folder. Written from docs/format alone, as documentation by example.

    python reader.py REPOSITORY SECRET_FILE OUT_DIR [SNAPSHOT_PREFIX]

It imports nothing of snapstore and needs only blake3, cryptography, msgpack and zstandard, so that it still works
when the package does not. SECRET_FILE holds a dossier's secret or a recovery code; for an unprotected repository it
is not read. The newest snapshot is restored unless the first hexadecimal digits of another one's id are given.

`reader_keys.py` has chapters 01 to 04: read it first, then this file from top to bottom: packs and blobs (05, 06),
manifests and records (08, 09), trees (07), files. It is neither fast nor clever: everything is checked, nothing is
cached, and the first damage that no other copy makes good ends it with an error. What is merely odd is a warning.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from blake3 import blake3
from reader_keys import (
    INDEX,
    MANIFEST,
    PACK_HEADER,
    PREFIX,
    RECORD,
    Config,
    Damage,
    Dossier,
    Unsupported,
    WrongSecret,
    b32,
    check_signature,
    derive,
    envelope_epoch,
    find_dossier,
    keyed,
    names_in,
    open_hpke,
    open_section,
    read_config,
    read_secret,
    read_whole,
    split_body,
    u32,
    unpack,
    warn,
)

MAXIMUM_DATA, MAXIMUM_TREE, MAXIMUM_LEVEL = 4 << 20, 1 << 20, 40


# ---- 05 and 06: packs, indexes, blobs


class Copy(NamedTuple):
    """One stored copy of a blob."""

    pack: Path
    codec: int
    offset: int
    stored_size: int
    raw_size: int
    child_list_size: int
    stored_hash: bytes


class Blobs:
    """Where every blob lies, and how to open it."""

    def __init__(self, root: Path, config: Config, dossier: Dossier) -> None:
        self.repository, self.dossier = config.repository, dossier
        self.copies: dict[bytes, list[Copy]] = {}
        packs = {path.name: path for folder in names_in(root / "packs") for path in names_in(folder)}
        indexed: set[str] = set()
        for path in names_in(root / "index"):
            try:
                self._read_index(self.open_sealed(read_whole(path), INDEX, "maintenance index"), packs, indexed)
            except Damage as error:
                warn(f"index {path.name}: {error}")
        for name in packs.keys() - indexed:
            try:
                self._add(packs[name], self._read_header(packs[name]))
            except Damage as error:
                warn(f"pack {name}: {error}")

    def open_sealed(self, raw: bytes, kind: int, purpose: str) -> bytes:
        epoch = envelope_epoch(raw, kind)
        if epoch not in self.dossier.keys:
            raise Damage(f"unknown key epoch {epoch}")
        return open_section(derive(self.dossier.keys[epoch].maintenance, purpose), raw[24:], self.repository + raw[:24])

    def _read_header(self, path: Path) -> bytes:
        """Find a pack's header from its last four bytes."""
        size = path.stat().st_size
        with path.open("rb") as pack:
            pack.seek(max(size - 4, 0))
            header_size = int.from_bytes(pack.read(4), "little")
            if not 0 < header_size <= size - 4:
                raise Damage("the pack is truncated")
            pack.seek(size - 4 - header_size)
            plain = self.open_sealed(pack.read(header_size), PACK_HEADER, "maintenance pack header")
        return plain[: 4 + 84 * int.from_bytes(plain[:4], "little")]

    def _read_index(self, plain: bytes, packs: dict[str, Path], indexed: set[str]) -> None:
        at = 4
        for _ in range(int.from_bytes(plain[:4], "little")):
            name, size = (
                plain[at : at + 32].decode("ascii", "replace"),
                int.from_bytes(plain[at + 32 : at + 36], "little"),
            )
            end = at + 40 + 84 * int.from_bytes(plain[at + 36 : at + 40], "little")
            if name in packs and name not in indexed and packs[name].stat().st_size == size:
                self._add(packs[name], plain[at + 36 : end])
                indexed.add(name)
            at = end

    def _add(self, pack: Path, header: bytes) -> None:
        expected = 0
        if len(header) < 88 or len(header) != 4 + 84 * int.from_bytes(header[:4], "little"):
            raise Damage("a pack header has the wrong size")
        for at in range(4, len(header), 84):
            entry = header[at : at + 84]
            offset, stored, raw, children = (int.from_bytes(entry[i : i + 4], "little") for i in (36, 40, 44, 48))
            if offset != expected:
                raise Damage("the blobs of a pack do not follow each other")
            expected = offset + stored
            copy = Copy(pack, entry[33], offset, stored, raw, children, entry[52:68])
            self.copies.setdefault(entry[:32], []).append(copy)

    def load(self, h: bytes, *, tree: bool = False, shared: bool = False) -> bytes:
        """The plaintext of which h is the keyed hash; every epoch and every copy is tried."""
        trouble = "no pack holds it"
        for keys in self.dossier.keys.values():
            domain, key = ("content", keys.content) if shared else ("dossier", keys.dossier)
            if key is None:
                continue
            both = keyed(derive(key, f"{domain} blob id"), h, 64)
            for copy in self.copies.get(both[:32], ()):
                try:
                    plain = open_copy(copy, both[:32], both[32:], MAXIMUM_TREE if tree else MAXIMUM_DATA)
                    if keyed(derive(key, f"{domain} blob hash"), plain) == h:
                        return plain
                    raise Damage("h does not fit the plaintext")
                except (Damage, OSError) as error:
                    trouble = f"{error} (pack {copy.pack.name}, offset {copy.offset})"
                    warn(f"a copy of a blob is damaged: {trouble}")
        raise Damage(f"a blob cannot be read: {trouble}")


def open_copy(copy: Copy, blob_id: bytes, content_key: bytes, maximum: int) -> bytes:
    with copy.pack.open("rb") as pack:
        pack.seek(copy.offset)
        stored = pack.read(copy.stored_size)
    if blake3(stored).digest()[:16] != copy.stored_hash:
        raise Damage("the stored bytes have another hash")
    if copy.raw_size > maximum:
        raise Damage("a blob is larger than any may be")
    plain = open_section(content_key, stored[copy.child_list_size :], blob_id + bytes([copy.codec]))
    if copy.codec == 1:
        try:
            if zstandard.frame_content_size(plain) != copy.raw_size:
                raise Damage("a zstd frame announces another size")
            plain = zstandard.ZstdDecompressor().decompress(plain, max_output_size=copy.raw_size)
        except zstandard.ZstdError as error:
            raise Damage(f"a blob does not decompress: {error}") from error
    elif copy.codec != 0:
        raise Unsupported(f"codec {copy.codec}")
    if len(plain) != copy.raw_size:
        raise Damage("a blob has another size than its pack says")
    return plain


# ---- 08 and 09: manifests, forget records


class Snapshot(NamedTuple):
    id: bytes
    number: int
    time: int
    medium: bytes
    roster: bytes
    root: bytes


def signed_sections(raw: bytes, kind: int, config: Config, dossier: Dossier, *, station_field: int) -> tuple[Any, Any]:
    """The body of a manifest or record and its section under M, after the signature of a known station was checked."""
    epoch = envelope_epoch(raw, kind)
    body = unpack(split_body(raw, 64)[0], range(7 if kind == MANIFEST else 6))
    if (body[0], body[1]) != (config.repository, dossier.id) or epoch not in dossier.keys:
        raise Damage("it belongs to something else")
    field, purpose = (4, "manifest") if kind == MANIFEST else (5, "record")
    associated = config.repository + raw[:8] + dossier.id + body[2] + u32(4 if kind == MANIFEST else body[3])
    key = derive(dossier.keys[epoch].maintenance, f"maintenance {purpose}")
    section = unpack(open_section(key, body[field], associated), range(15 if kind == MANIFEST else 4))
    public, last = dossier.stations.get(section[station_field], (None, None))
    if public is None:
        raise Damage("an unknown station signed it")
    check_signature(public, raw)
    if kind == MANIFEST and last is not None and section[0] > last:
        raise Damage("a revoked station signed it")
    return body, section


def read_snapshots(root: Path, config: Config, dossier: Dossier) -> list[Snapshot]:
    """All snapshots, oldest first, from `snapshots/` and from the second copies in `ok/`."""
    found: dict[bytes, Snapshot] = {}
    confirmed: set[bytes] = set()
    for place in ("ok", "snapshots"):
        for path in names_in(root / place / b32(dossier.id)):
            try:
                raw = read_whole(path)
                body, section = signed_sections(raw, MANIFEST, config, dossier, station_field=11)
                info = f"{PREFIX}manifest root".encode() + raw[:8] + config.repository + dossier.id + body[2]
                h = open_hpke(dossier.private, body[6], info)
            except Damage as error:
                warn(f"{place} {path.name}: {error}")
                continue
            if body[3] > dossier.generation:
                warn(f"{place} {path.name}: made under keyset {body[3]}, which was taken away")
            if place == "ok":
                confirmed.add(body[2])
            found[body[2]] = Snapshot(body[2], section[0], section[1], section[10], section[12], h)
    for unconfirmed in found.keys() - confirmed:
        warn(f"snapshot {unconfirmed.hex()} is unconfirmed: its writer never saw it whole")
    return sorted(found.values(), key=lambda one: (one.number, one.time, one.id))


def warn_of_missing(root: Path, config: Config, dossier: Dossier, snapshots: list[Snapshot]) -> None:
    """Compare the newest roster of each medium with what is there and what signed records explain."""
    explained = {one.id for one in snapshots}
    for path in names_in(root / "records" / b32(dossier.id)):
        try:
            body, section = signed_sections(read_whole(path), RECORD, config, dossier, station_field=0)
        except Damage as error:
            warn(f"record {path.name}: {error}")
            continue
        if body[3] == 1:
            explained.update(split_ids(section[3][0]))
    for roster in {one.medium: one.roster for one in snapshots}.values():
        for gone in sorted(set(split_ids(roster)) - explained):
            warn(f"snapshot {gone.hex()} was taken away: a roster names it and no record forgets it")


def split_ids(joined: bytes) -> list[bytes]:
    return [joined[at : at + 16] for at in range(0, len(joined), 16)]


# ---- 07: trees and files


def directory_entries(blobs: Blobs, level: int, h: bytes) -> Iterator[dict[int, Any]]:
    last = b""
    for entry in _leaves(blobs, level, h, leaf=0):
        if not isinstance(entry, dict) or any(key not in range(24) for key in entry if key < 64):
            raise Unsupported("an entry has fields of a newer version")
        name = entry[0]
        if name <= last or name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise Damage(f"a directory holds the name {name!r} in the wrong place")
        last = name
        yield entry


def _leaves(blobs: Blobs, level: int, h: bytes, *, leaf: int) -> Iterator[Any]:
    """The items of all leaves below a node, in order; `leaf` is 0 for directories and 2 for chunk lists."""
    node = unpack(blobs.load(h, tree=True))
    if (
        not isinstance(node, list)
        or node[0] != leaf + (level > 0)
        or level > MAXIMUM_LEVEL
        or (level and node[1] != level)
    ):
        raise Damage("a tree node is not of the expected shape")
    for item in node[-1]:
        if level:
            yield from _leaves(blobs, level - 1, item[1 if leaf == 0 else 0], leaf=leaf)
        else:
            yield item


def file_pieces(blobs: Blobs, entry: dict[int, Any]) -> Iterator[bytes | int]:
    """A file's content in order; an int is a hole of that many bytes."""
    if 9 in entry:
        yield entry[9]
    elif 10 in entry:
        h, offset, _ = entry[10]
        yield blobs.load(h)[offset : offset + entry[8]]
    elif 11 in entry or 12 in entry:
        items = entry[11] if 11 in entry else _leaves(blobs, *entry[12], leaf=2)
        for item in items:
            if isinstance(item, int):
                yield item
                continue
            chunk = blobs.load(item[0], shared=entry.get(13, False))
            if len(chunk) != item[1]:
                raise Damage("a chunk has another size than its list says")
            for _ in range(item[2] if len(item) == 3 else 1):
                yield chunk


def write_file(blobs: Blobs, entry: dict[int, Any], path: bytes) -> None:
    size = 0
    with open(path, "xb") as file:
        for piece in file_pieces(blobs, entry):
            if isinstance(piece, int):
                size += piece
                file.seek(piece, os.SEEK_CUR)
            else:
                size += len(piece)
                file.write(piece)
        file.truncate(size)
    if size != entry[8]:
        raise Damage(f"{os.fsdecode(path)}: the content has {size} bytes and the entry says {entry[8]}")


class Restorer:
    """Writes entries below a new folder. Links to other names come last, when those exist."""

    def __init__(self, blobs: Blobs, target: bytes) -> None:
        self.blobs, self.target = blobs, target
        self.hard_links: list[tuple[bytes, bytes]] = []
        self.folders: list[tuple[bytes, dict[int, Any]]] = []

    def restore(self, root: dict[int, Any]) -> None:
        self.write(root, self.target)
        for first, path in self.hard_links:
            os.link(os.path.join(self.target, *first.split(b"/")), path, follow_symlinks=False)
        for path, entry in reversed(self.folders):
            self.set_metadata(path, entry)

    def write(self, entry: dict[int, Any], path: bytes) -> None:
        kind = entry[1]
        if kind == 1:
            os.makedirs(path, mode=0o700, exist_ok=path == self.target)
            self.folders.append((path, entry))
            if 21 in entry:
                for child in directory_entries(self.blobs, *entry[21]):
                    self.write(child, os.path.join(path, child[0]))
        elif kind == 6:
            if any(part in (b"", b".", b"..") for part in entry[16].split(b"/")):
                raise Damage("a hard link leads out of the snapshot")
            self.hard_links.append((entry[16], path))
        elif self.write_leaf(kind, entry, path):
            self.set_metadata(path, entry)

    def write_leaf(self, kind: int, entry: dict[int, Any], path: bytes) -> bool:
        """False where this system or user cannot make such a thing."""
        if kind == 0:
            write_file(self.blobs, entry, path)
        elif kind == 2:
            os.symlink(entry[14], path)
        elif kind in (3, 4, 5) and hasattr(os, "mkfifo"):
            try:
                device = os.makedev(*entry[15]) if kind != 3 else 0
                os.mknod(path, {3: 0o010000, 4: 0o020000, 5: 0o060000}[kind] | 0o600, device)
            except PermissionError:
                warn(f"{os.fsdecode(path)}: this user may not make devices")
                return False
        else:
            warn(f"{os.fsdecode(path)}: not made, type {kind}")
            return False
        return True

    def set_metadata(self, path: bytes, entry: dict[int, Any]) -> None:
        """Owner first (it clears bits of the mode and capabilities), time last."""
        link = entry[1] == 2
        if hasattr(os, "geteuid") and os.geteuid() == 0 and 4 in entry and 5 in entry:
            os.chown(path, entry[4], entry[5], follow_symlinks=False)
        attributes = entry.get(17, [])
        if 18 in entry:
            attributes = unpack(self.blobs.load(entry[18][0]))
        for name, value in attributes:
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except (OSError, AttributeError) as error:
                warn(f"{os.fsdecode(path)}: attribute {name!r}: {error}")
        if 2 in entry and not link:
            os.chmod(path, entry[2])
        if 3 in entry and not (link and os.utime not in os.supports_follow_symlinks):
            os.utime(path, ns=(entry[3], entry[3]), follow_symlinks=not link)


def main(arguments: list[str]) -> None:
    root, secret_file, target = Path(arguments[0]), Path(arguments[1]), arguments[2]
    config = read_config(root)
    if not config.protected:
        warn("the repository is unprotected: anybody could have made or changed it, and the secret is not used")
    dossier = find_dossier(root, config, read_secret(secret_file) if config.protected else "")
    snapshots = read_snapshots(root, config, dossier)
    warn_of_missing(root, config, dossier, snapshots)
    wanted = [one for one in snapshots if one.id.hex().startswith(arguments[3] if len(arguments) > 3 else "")]
    if not wanted:
        raise Damage("no such snapshot can be read")
    blobs = Blobs(root, config, dossier)
    (entry,) = unpack(blobs.load(wanted[-1].root, tree=True))[1]
    Restorer(blobs, os.fsencode(target)).restore(entry)
    print(f"restored snapshot {wanted[-1].id.hex()} into {target}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Damage, Unsupported, WrongSecret) as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
