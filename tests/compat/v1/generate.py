"""The script that wrote tests/compat/v1/repository and facts.json. NEVER RUN IT AGAIN for what is committed.

What lies there was written by the first release of format version 1, and stands for every repository in the world
that was. If a test of it fails, the reader is broken, not the repository. Another version of the format gets a folder
of its own. The script is kept to show how the files came about; it refuses to write where they already are.

    PYTHONPATH=. python tests/compat/v1/generate.py
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import snapstore

HERE = Path(__file__).parent
SECRETS = {"books": "correct horse battery", "caf\u00e9": "Pa\u00dfwort f\u00fcr 1 Caf\u00e9"}
MODIFIED_NS = 1_790_000_000_123_456_700


def write_sources(source: Path, version: int) -> None:
    """Every shape of content, compressible, so that the repository is small."""
    contents = {
        "empty": b"",
        "inline": b"content of an inline file, version %d" % version,
        "folder/page.db": b"SQLite format 3\0" + b"".join(b"%07d\n" % (n // 512) for n in range(25_000 + version)),
        "folder/shared": b"".join(b"a line that two dossiers share %04d\n" % (n // 700) for n in range(9_000)),
        "folder/zeros": bytes(2_000_000),
        "folder/deep/er/bottom": b"bottom" * 200,
        "folder/\u00e9t\u00e9 \u6570\u636e": b"a name that is not ASCII",
        "folder/changing": b"%d" % version * 30_000,
    }
    for number in range(60):
        contents[f"many/note {number:02}"] = b"note %d " % number * (number * 20)
    for path, content in contents.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    with (source / "folder" / "sparse").open("wb") as file:
        file.write(b"head")
        file.seek(1_000_000)
        file.write(b"island")
        file.truncate(3_000_000)
    if version == 1:
        (source / "empty folder").mkdir()
        (source / "link").symlink_to("folder/shared")
        (source / os.fsdecode(b"bytes \xff")).write_bytes(b"a name that is no text")
        os.link(source / "inline", source / "zz second name")
        os.mkfifo(source / "pipe")
        os.setxattr(source / "folder", "user.small", b"value")
        os.setxattr(source / "folder" / "changing", "user.large", b"large " * 500)
    (source / "folder" / "changing").chmod(0o640)
    for path in sorted(source.rglob("*"), reverse=True):
        os.utime(path, ns=(MODIFIED_NS, MODIFIED_NS + version), follow_symlinks=False)


def facts_of(source: Path) -> dict[str, dict[str, Any]]:
    """What the test expects of each path, by its bytes in hexadecimal."""
    facts = {}
    for path in source.rglob("*"):
        status = path.lstat()
        fact: dict[str, Any] = {"mode": status.st_mode, "modified_ns": status.st_mtime_ns}
        if path.is_symlink():
            fact["target"] = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
            fact |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        facts[os.fsencode(path.relative_to(source)).hex()] = fact
    return facts


def main() -> None:
    """Write both, once."""
    if (HERE / "repository").exists():
        sys.exit("The repository is there. It is never written again.")
    platform.node = lambda: "first-pc"  # what a snapshot says of its writer is nobody's own
    os.environ["LOGNAME"] = "clerk"
    expected: dict[str, Any] = {"dossiers": {}}
    with tempfile.TemporaryDirectory() as work:
        source, url = Path(work) / "source", HERE / "repository"
        with snapstore.init(
            url, share=True, state_dir=Path(work) / "one", station_name="first PC", kdf_seconds=0
        ) as repository:
            for name, secret in SECRETS.items():
                repository.create_dossier(name, secret=secret)
            code = repository.dossier("books").add_recovery_code(secret=SECRETS["books"])
            for version in (1, 2):
                write_sources(source, version)
                for name in SECRETS:
                    dossier = repository.dossier(name)
                    report = dossier.snapshot(source, label=f"version {version}", exclude=["*.tmp"])
                    assert report.problems == ()
                    known = expected["dossiers"].setdefault(name, {"id": dossier.id.hex(), "snapshots": []})
                    known["snapshots"].append(
                        {"id": report.snapshot.name, "label": f"version {version}", "files": facts_of(source)}
                    )
        with snapstore.open(url, state_dir=Path(work) / "two", station_name="lost laptop") as repository:
            dossier = repository.unlock(SECRETS["books"])
            report = dossier.snapshot(source / "folder" / "deep", label="of the laptop")
            expected["dossiers"]["books"]["snapshots"].append(
                {"id": report.snapshot.name, "label": "of the laptop", "files": facts_of(source / "folder" / "deep")}
            )
        with snapstore.open(url, state_dir=Path(work) / "one") as repository:
            repository.dossier("books").revoke_station("lost laptop", secret=SECRETS["books"])
            expected |= {"id": repository.id.hex(), "medium": repository.medium_id.hex(), "recovery_code": code}
    (HERE / "facts.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
