"""What may name an object, a folder and a station."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import InputError
from snapstore.stores.protocol import check_name, check_prefix, check_station, is_folder, is_name

LIKELY = st.text(alphabet="ab0/.\\-A:\0 ", max_size=12)


@given(st.text() | LIKELY)
@example("packs/a/\u0660")  # a digit, but not one of ours
@example("packs/a\n")
def test_a_name_that_is_accepted_stays_within_the_store(name: str) -> None:
    if is_name(name):
        check_name(name)
        assert name == "README.txt" or re.fullmatch(r"[0-9a-z]{1,32}(/[0-9a-z]{1,32}){1,2}", name)
        assert not name.startswith("tmp/")
    else:
        with pytest.raises(InputError) as caught:
            check_name(name)
        assert caught.value.code == "invalid_name"


@given(st.text() | LIKELY)
def test_a_prefix_is_a_folder_or_everything(prefix: str) -> None:
    try:
        folder = check_prefix(prefix)
    except InputError:
        assert prefix not in ("", "tmp", "tmp/")
        assert not is_folder(prefix.removesuffix("/"))
    else:
        assert folder in ("", "tmp") or is_folder(folder)
        assert prefix in (folder, f"{folder}/")


def test_stations_mark_their_temporaries_without_doubt() -> None:
    assert check_station("0" * 26) == "0" * 26
    for station in ("", "a-b", "0" * 27, "A", "../a", "a/b", "a\n"):
        with pytest.raises(InputError):
            check_station(station)
