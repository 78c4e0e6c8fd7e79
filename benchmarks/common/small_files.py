"""Very many small text files, as mail folders, exports and program caches have them.

Here: `build_small_files`. Not here: the other data sets.

Rules: 0.5 to 4 KB each, some hundreds in a folder, compressible text; the same seed gives the same bytes. All of them
differ, so nothing is saved by storing equal files once.
"""

from __future__ import annotations

import random
from pathlib import Path

from . import words

SEED = 20_250_103
SIZES = (500, 4000)
FILES_A_FOLDER = 300
FOLDERS_A_GROUP = 40
WORDS_A_LINE = 12


def build_small_files(folder: Path, *, count: int) -> None:
    """Write `count` files below `folder`."""
    source = random.Random(SEED)
    vocabulary = words.vocabulary(source)
    target = folder
    for number in range(count):
        if number % FILES_A_FOLDER == 0:
            which = number // FILES_A_FOLDER
            target = folder / f"group-{which // FOLDERS_A_GROUP:02}" / f"folder-{which:04}"
            target.mkdir(parents=True, exist_ok=True)
        size = source.randint(*SIZES)
        head = f"Record: {number}\nCustomer: {source.choice(words.FIRST_NAMES)} {source.choice(words.LAST_NAMES)}\n"
        drawn = source.choices(vocabulary, k=size // 4 + 1)  # a word and its space take 4 bytes at least, nearly always
        text = head + "\n".join(" ".join(drawn[at : at + WORDS_A_LINE]) for at in range(0, len(drawn), WORDS_A_LINE))
        (target / f"record-{number:06}.txt").write_text(text[:size], encoding="utf-8")
