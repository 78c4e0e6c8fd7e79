"""What lies at the root of a medium for whoever finds it.

Here: `put_readme_at_root` and its text. Not here: the README in the repository's own folder (`operations.readme`).

Rules: it is written when a repository is made on a medium, and no file is ever replaced: where there is a README
already, it is left, and ours has another name. Nothing depends on the file, so what keeps it from being written is no
error.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from ...stores.medium_store import MediumStore
from ...stores.protocol import README_NAME, Store
from ...stores.readback import flush, flush_folder
from ...stores.wrapper import innermost

SECOND_NAME: Final = "SNAPSTORE-README.txt"
_TEXT: Final = """\
The folder "{folder}" on this medium holds encrypted backups, made with snapstore.

They cannot be read without the secret of the person or business they belong to. If you found this medium, please give
it back to its owner; without the secret it is of no use to anybody.

If it is yours: do not rename, move or delete anything in "{folder}". How to restore is told in
{folder}/{readme}. Other files on this medium are not part of the backups.

--

Le dossier « {folder} » de ce support contient des sauvegardes chiffrées, faites avec snapstore et illisibles sans le
secret de leur propriétaire. Si vous avez trouvé ce support, merci de le lui rendre. S'il est à vous : ne modifiez rien
dans « {folder} » ; la marche à suivre pour restaurer est dans {folder}/{readme}.
"""


def readme_text(folder: str) -> str:
    """Return the text for a repository in `folder` of the medium, as it is written in addresses (with "/")."""
    return _TEXT.format(folder=folder, readme=README_NAME)


def put_readme_at_root(store: Store) -> Path | None:
    """Put the file beside the repository's folder. Return where, or None: it is there, there is no medium, no room."""
    medium_store = innermost(store)
    if not isinstance(medium_store, MediumStore):
        return None
    root = medium_store.medium.path
    folder = os.path.relpath(medium_store.url, root).replace(os.sep, "/")
    if folder == "." or folder.startswith(".."):
        return None
    text = readme_text(folder).encode("utf-8")
    for name in (README_NAME, SECOND_NAME):
        path = root / name
        try:
            _write_new(path, text)
            flush_folder(str(root))
        except FileExistsError:
            if _holds(path, text):
                return None
        except OSError:
            return None
        else:
            return path
    return None


def _write_new(path: Path, text: bytes) -> None:
    with open(path, "xb") as file:
        try:
            file.write(text)
            file.flush()
            flush(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def _holds(path: Path, text: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(text) + 1) == text
    except OSError:
        return False
