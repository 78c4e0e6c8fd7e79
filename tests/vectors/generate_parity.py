"""Makes `parity.json`: sidecars of packs that anybody can make again.

Run once: `PYTHONPATH=. python tests/vectors/generate_parity.py`. What is in the file stays as it is for ever. A pack is
the extended output of BLAKE3 over "snapstore parity vector"; its name is made for its bytes, with the random digits
"000000". Of a sidecar the file has the first head, and the hash of the whole.
"""

from __future__ import annotations

import json
from pathlib import Path

from blake3 import blake3

from snapstore.format.names import new_name
from snapstore.format.parity import decode_sidecar, make_sidecar
from snapstore.limits import MIB
from snapstore.parity.encoding import parity_of

SIZES = (1, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 5, 33 * MIB)


def pack(size: int) -> bytes:
    return blake3(b"snapstore parity vector").digest(length=size)


def sidecars() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for size in SIZES:
        for rows in (2, 3):
            data = pack(size)
            name = new_name(blake3(data).digest(), suffix="000000")
            sidecar = make_sidecar(name, [data], rows)
            head, _ = decode_sidecar(sidecar)
            found.append(
                {
                    "pack_size": size,
                    "pack": name,
                    "parity_rows": rows,
                    "size": len(sidecar),
                    "fixed": head.encode()[:48].hex(),
                    "hash": blake3(sidecar).hexdigest(),
                }
            )
    return found


def rows() -> dict[str, list[str]]:
    data = [pack(96)[at : at + 8] for at in range(0, 96, 8)]
    return {"rows": [row.hex() for row in data], "parity": [row.hex() for row in parity_of(data, 3)]}


if __name__ == "__main__":
    path = Path(__file__).with_name("parity.json")
    path.write_text(json.dumps({"code": rows(), "sidecars": sidecars()}, indent=1) + "\n", "utf-8")
