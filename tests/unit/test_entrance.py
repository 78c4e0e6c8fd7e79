"""The two ways in: options reach the store, what it has to say is kept, and no address shows a password."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

import snapstore
import snapstore.stores.url
from snapstore import RepositoryNotFoundError, StoreError, StoreOptions, StoreUnavailableError
from snapstore.stores.memory import MemoryStore

PASSWORD = "geheim12"


class Far(MemoryStore):
    """A store that says something."""

    notices = (("password_in_clear", "It travels in clear."),)


def test_options_reach_the_store_and_its_notices_the_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[StoreOptions | None] = []

    def opened(url: str, *, options: StoreOptions | None = None, **more: Any) -> Far:
        given.append(options)
        return Far("entrance")

    monkeypatch.setattr(snapstore.stores.url, "open_store", opened)
    options = StoreOptions(password="geheim12", attempts=1)
    for enter in (snapstore.init, snapstore.open):
        more: dict[str, Any] = {"kdf_seconds": 0} if enter is snapstore.init else {}
        with enter("far", state_dir=tmp_path / "state", options=options, **more) as repository:  # type: ignore[operator]
            found = [(problem.code, problem.message) for problem in repository.problems]
            assert found == list(Far.notices)
            assert "geheim12" not in repr(repository.problems) + repr(repository) + repr(options)
    assert given == [options, options]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreUnavailableError("absent", code="store_absent", retryable=False), RepositoryNotFoundError),
        (StoreUnavailableError("down"), StoreUnavailableError),
    ],
)
def test_an_absent_store_is_an_absent_repository(
    error: StoreError, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(snapstore.stores.url, "open_store", fail)
    url = PASSWORD.join(("sftp://anna:", "@host/x"))  # tracebacks show lines of source
    with pytest.raises(kind) as caught:
        snapstore.open(url, state_dir=tmp_path / "state")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
