"""Does the index serve ten million blobs: how fast is it opened and searched, and what memory does it take?

Run from the repository's root: `python benchmarks/index-10-million/measure.py --folder /dev/shm/index` (a folder with
4 GB to spare, best in RAM; all of it is removed again). It makes a store with the index objects of 20,000 packs of
500 blobs (entries made up, sealed by the real code; the packs themselves are files of zeros that take no room), and
then starts a fresh process for each thing it measures, through `load_index` and `find_many` as a snapshot uses them:

    build     the first opening by a station: every index object is read, opened and merged, and the result kept
    open      an opening from what the station kept, nothing new
    search    an opening, and then look-ups in batches of 1,000, half of them of blobs that are there

Peak memory is VmHWM of the process (on macOS ru_maxrss), the interpreter and all imports included.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from snapstore.blobs.catalogue import Catalogue, LoadedIndex, load_index
from snapstore.crypto.derivation import digest
from snapstore.crypto.keys import MaintenanceKeys
from snapstore.format.index import IndexedPack, encode_index
from snapstore.format.names import new_name
from snapstore.format.pack import COUNT
from snapstore.limits import INDEX_EVERY_PACKS
from snapstore.station.index_cache import IndexCache
from snapstore.stores.local import LocalStore
from snapstore.types import BlobId, RepositoryId

BLOBS_A_PACK = 500
BLOB_BYTES = 65_536
STORED_BYTES = 60_000  # compressed a little: 500 of them and a header fit into a pack
PACK_BYTES = 32 << 20
KEYS = MaintenanceKeys(1, b"m" * 32)
REPOSITORY = RepositoryId(b"r" * 16)
BATCH = 1000
BATCHES = 300
FACTS = struct.Struct("<BBHIIII")
DIGITS = "0123456789abcdefghijklmnopqrstuv"


def material(pack: int) -> bytes:
    """64 bytes for each entry of a pack: id, stored hash and voucher."""
    return blake3(pack.to_bytes(4, "little")).digest(length=64 * BLOBS_A_PACK)


def pack_name(pack: int) -> str:
    """Return the name of a made-up pack."""
    return "".join(DIGITS[byte % 32] for byte in blake3(b"name" + pack.to_bytes(4, "little")).digest())


def made_up_pack(pack: int) -> IndexedPack:
    """Return a pack as an index object names it."""
    data, parts = material(pack), [COUNT.pack(BLOBS_A_PACK)]
    for number, at in enumerate(range(0, len(data), 64)):
        facts = FACTS.pack(1, 1, 1, number * STORED_BYTES, STORED_BYTES, BLOB_BYTES, 0)
        parts += (data[at : at + 32], facts, data[at + 32 : at + 64])
    return IndexedPack(name=pack_name(pack), pack_size=PACK_BYTES, entries_bytes=b"".join(parts))


def make_store(root: Path, packs: int) -> None:
    """Write index objects, and empty files in place of the packs."""
    for digit in "0123456789abcdef":
        (root / "packs" / digit).mkdir(parents=True)
    (root / "index").mkdir()
    store = root / "index"
    for first in range(0, packs, INDEX_EVERY_PACKS):
        group = [made_up_pack(number) for number in range(first, min(first + INDEX_EVERY_PACKS, packs))]
        data = encode_index(KEYS, REPOSITORY, group)
        (store / object_name(data)).write_bytes(data)
        for pack in group:
            with open(root / "packs" / f"{int(pack.name[0], 32) // 2:x}" / pack.name, "wb") as file:
                file.truncate(PACK_BYTES)


def object_name(data: bytes) -> str:
    """Return the name that an object with these bytes is stored under."""
    return new_name(digest(data))


def opened(folder: Path) -> tuple[LoadedIndex, float]:
    """Open the index as a snapshot does; also return the seconds that took."""
    files = IndexCache(folder / "station", b"benchmark")
    store = LocalStore(folder / "store")
    catalogue = Catalogue(store=store, repository_id=REPOSITORY, maintenance={1: KEYS}, files=files)
    start = time.perf_counter()
    return load_index(catalogue), time.perf_counter() - start


def peak_megabytes() -> float:
    """Return the most memory that this process ever had, in 10**6 bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def report(what: str, seconds: float, loaded: LoadedIndex) -> None:
    """Print one line about an opening."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    packs = sum(1 for _ in loaded.index.packs())
    print(
        f"{what}: {seconds:.2f} s (CPU of the process {used.ru_utime + used.ru_stime:.2f} s), {packs} packs, "
        f"{loaded.index.unkept_blobs()} blobs not kept, peak {peak_megabytes():.0f} MB",
        flush=True,
    )


def batches(packs: int, *, scattered: bool) -> Callable[[], list[BlobId]]:
    """Return a maker of batches; the blobs that are there come from all packs at random, or from one after another."""
    generator = random.Random(7)
    current = 0

    def scattered_hit() -> bytes:
        pack, place = generator.randrange(packs), generator.randrange(BLOBS_A_PACK)
        return blake3(pack.to_bytes(4, "little")).digest(length=32, seek=64 * place)

    def make() -> list[BlobId]:
        nonlocal current
        if scattered:
            hits = [scattered_hit() for _ in range(BATCH // 2)]
        else:
            data, current = material(current % packs), current + 1
            hits = [data[at : at + 32] for at in range(0, len(data), 64)][: BATCH // 2]
        ids = [BlobId(item) for item in hits + [generator.randbytes(32) for _ in range(BATCH - len(hits))]]
        generator.shuffle(ids)
        return ids

    return make


def search(folder: Path, packs: int) -> None:
    """Look blobs up and check the answers."""
    loaded, seconds = opened(folder)
    report("opened for a search", seconds, loaded)
    for scattered in (True, False):
        make, spent, processor = batches(packs, scattered=scattered), [], 0.0
        for _ in range(BATCHES):
            ids = make()
            start, used = time.perf_counter(), time.process_time()
            found = loaded.index.find_many(ids)
            spent.append(time.perf_counter() - start)
            processor += time.process_time() - used
            right = [copies for blob_id, copies in zip(ids, found, strict=True) if copies]
            if len(right) != BATCH // 2 or not all(len(copies) == 1 for copies in right):
                raise SystemExit("a look-up found something else than was put in")
        where = "from all packs" if scattered else "pack after pack"
        rates = [BATCH / item for item in spent]
        print(
            f"search, hits {where}: {BATCH * BATCHES / sum(spent):,.0f} look-ups a second "
            f"(median batch {statistics.median(rates):,.0f}; {BATCH * BATCHES / processor:,.0f} a CPU second), "
            f"peak {peak_megabytes():.0f} MB",
            flush=True,
        )


def main() -> None:
    """Run all stages, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="must not exist; is removed at the end")
    parser.add_argument("--packs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="of opening and searching")
    parser.add_argument("--stage", choices=["build", "open", "search"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder, packs = arguments.folder, arguments.packs
    if arguments.stage == "search":
        search(folder, packs)
    elif arguments.stage:
        loaded, seconds = opened(folder)
        report(arguments.stage, seconds, loaded)
    else:
        folder.mkdir(parents=True)
        try:
            make_store(folder / "store", packs)
            print(f"{packs * BLOBS_A_PACK:,} blobs in {packs:,} packs, Python {sys.version.split()[0]}", flush=True)
            for stage in ["build", *["open", "search"] * arguments.rounds]:
                command = [sys.executable, __file__, "--folder", folder, "--packs", str(packs), "--stage", stage]
                subprocess.run(command, check=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
