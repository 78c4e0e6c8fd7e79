"""Servers that say what is not so: uploads reported as success that are short or lost, listings that break off.

Each kind of remote store on a server of its kind that lies when told to. A snapshot on it fails and says so, for what
was reported done must be there; a listing that broke off is an error, never a short or an empty one. When the server
tells the truth again, nothing is lost and the next run succeeds.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lying_sftp
import pytest
from remote_scene import SECRET, RemoteScene, impatient
from server import Server, ServerMissingError

import snapstore
from snapstore.errors import StoreError, StoreFullError

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server")


@dataclass(frozen=True, kw_only=True)
class Liar:
    """A server, and what makes it lie: functions by the name of the lie."""

    server: Server
    uploads: Mapping[str, Callable[[], None]]
    listings: Mapping[str, Callable[[], None]]
    full: Mapping[str, Callable[[], None]]
    tell_the_truth: Callable[[], None]


@contextmanager
def lying_sshd(folder: Path) -> Iterator[Liar]:
    from ssh_servers import running_sshd

    program = next((path for path in SFTP_SERVERS if Path(path).exists()), None)
    if program is None:
        raise ServerMissingError("not installed: sftp-server")
    lie = folder / "lie"

    def tell(word: str) -> Callable[[], None]:
        return lambda: lie.write_text(word, encoding="ascii") and None

    command = f"{sys.executable} {lying_sftp.__file__} {lie} {program}"
    with running_sshd(folder, sftp=command) as server:
        yield Liar(
            server=replace(server, name=f"{server.name} with a lying sftp-server"),
            uploads={word: tell(word) for word in ("short", "lost")},
            listings={word: tell(word) for word in ("listing", "later")},
            full={"full": tell("full")},
            tell_the_truth=tell(""),
        )


@contextmanager
def lying_pyftpdlib(folder: Path) -> Iterator[Liar]:
    from ftp_servers import running_pyftpdlib

    with running_pyftpdlib(folder) as server:

        def tell(**faults: object) -> Callable[[], None]:
            return lambda: server.faults(**faults)

        yield Liar(
            server=replace(server, name=f"{server.name} that lies"),
            uploads={"short": tell(truncate=5), "wrong size": tell(size_lie=3)},
            listings={"refused": tell(break_listing="426"), "cut": tell(break_listing="kill")},
            full={"full": tell(full=True)},
            tell_the_truth=tell(),
        )


@contextmanager
def lying_moto(folder: Path) -> Iterator[Liar]:
    from lying_service import LyingService
    from object_servers import running_moto

    with running_moto(folder) as server, LyingService(server.port) as service:
        assert server.behind is not None

        def listing(status: int, body: str) -> Callable[[], None]:
            return lambda: service.answer("GET", status, body, when="list-type")

        def page() -> None:  # of a network that wants its users to sign in first
            for method in ("GET", "HEAD"):
                service.answer(method, 200, "<html>Please sign in</html>")

        yield Liar(
            server=replace(server.behind(service.port), name=f"{server.name} that lies"),
            uploads={
                "short": lambda: service.shorten("PUT"),
                "short packs": lambda: service.shorten("PUT", when="/packs/"),
                "lost": lambda: service.answer("PUT", 200, headers={"ETag": '"0"'}),
            },
            listings={
                "error": listing(500, "<Error><Code>InternalError</Code></Error>"),
                "forbidden": listing(403, "<Error><Code>AccessDenied</Code></Error>"),
                "cut": listing(200, '<?xml version="1.0"?><ListBucketResult><Name>x</Name><Contents><Key>'),
                "empty": listing(200, ""),
                "page": page,
            },
            full={},
            tell_the_truth=service.tell_the_truth,
        )


LIARS: dict[str, Callable[[Path], AbstractContextManager[Liar]]] = {
    "sshd": lying_sshd,
    "pyftpdlib": lying_pyftpdlib,
    "moto": lying_moto,
}


@pytest.fixture(scope="module", params=LIARS)
def liar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Liar]:
    with ExitStack() as stack:
        try:
            yield stack.enter_context(LIARS[request.param](tmp_path_factory.mktemp(request.param)))
        except ServerMissingError as error:
            pytest.skip(str(error))


@pytest.fixture
def scene(
    liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> Iterator[RemoteScene]:
    for name, value in getattr(liar.server, "variables", {}).items():
        monkeypatch.setenv(name, value)
    impatient(monkeypatch)
    made = RemoteScene(folder=tmp_path, server=liar.server, place=f"lie{random.randrange(10**9)}")
    liar.tell_the_truth()
    made.begin()
    yield made
    liar.tell_the_truth()
    made.assert_nothing_lost()
    record_property("faults", made.points)


def test_an_upload_that_did_not_arrive_is_never_reported_done(scene: RemoteScene, liar: Liar) -> None:
    for lie, begin in liar.uploads.items():
        scene.change_much()
        begin()
        error = scene.snapshot(lie, options=scene.options(tries=2))
        liar.tell_the_truth()
        assert isinstance(error, StoreError), f"{lie}: {error!r}"
        assert scene.snapshot(f"after {lie}") is None
        scene.assert_nothing_lost()
        scene.points += 1


def test_a_listing_that_broke_off_is_never_an_empty_or_a_short_one(scene: RemoteScene, liar: Liar) -> None:
    with scene.opened("reader") as repository:
        dossier = repository.unlock(SECRET)
        for lie, begin in liar.listings.items():
            scene.change_source()
            begin()
            with pytest.raises(StoreError):
                dossier.list()
            error = scene.snapshot(lie, options=scene.options(tries=2))
            assert isinstance(error, StoreError), f"{lie}: {error!r}"
            with pytest.raises(StoreError):
                snapstore.open(scene.server.url(scene.place), state_dir=scene.folder / "new", options=scene.options())
            liar.tell_the_truth()
            assert scene.snapshot(f"after {lie}") is None
            scene.assert_found(dossier, ["first"])
            scene.points += 1


def test_a_server_without_room_is_said(scene: RemoteScene, liar: Liar) -> None:
    if not liar.full:
        pytest.skip(f"{liar.server.name} is never full")
    for lie, begin in liar.full.items():
        scene.change_much()
        begin()
        error = scene.snapshot(lie, options=scene.options(tries=2))
        liar.tell_the_truth()
        # SFTP has no status for it: with space free, as there is here, nobody can say what the failure was.
        expected = StoreError if liar.server.url("x").startswith("sftp:") else StoreFullError
        assert isinstance(error, expected), f"{lie}: {error!r}"
        assert scene.snapshot(f"after {lie}") is None
        scene.points += 1
