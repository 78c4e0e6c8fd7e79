"""Object storage as it is found: keys that are wrong or absent, buckets that are absent, many and strange keys."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from lying_service import Forward, LyingService
from object_servers import ACCESS_KEY, SECRET_KEY, ObjectServer, running_azurite, running_versitygw
from server import ServerMissingError, free_port

from snapstore.errors import InputError, ObjectNotFoundError, StoreError, StorePermissionError, StoreUnavailableError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.objects.bucket import Bucket
from snapstore.stores.objects.place import Place
from snapstore.stores.objects.store import ObjectStorageStore
from snapstore.stores.options import StoreOptions
from snapstore.stores.protocol import RemoteStore, lanes_of

OpenStore = Callable[..., ObjectStorageStore]


def each_operation(store: ObjectStorageStore) -> dict[str, Callable[[], object]]:
    return {
        "list": lambda: list(store.list("packs")),
        "get": lambda: store.get("packs/a/x"),
        "get a part": lambda: store.get("packs/a/x", offset=1, size=1),
        "get nothing": lambda: store.get("packs/a/x", size=0),
        "put": lambda: store.put("packs/a/x", b"x"),
        "delete": lambda: store.delete("packs/a/x"),
    }


def open_address(url: str, **changes: object) -> ObjectStorageStore:
    return ObjectStorageStore(RemoteAddress.parse(url), dataclasses.replace(StoreOptions(), **changes))


class TestKeys:
    @pytest.mark.parametrize(
        ("variable", "text"), [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "wrong-and-hidden")]
    )
    def test_wrong_ones(
        self, server: ObjectServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
    ) -> None:
        if server.name == "moto":
            pytest.skip("moto checks no keys")
        monkeypatch.setenv(variable, text)
        with pytest.raises(StorePermissionError) as caught:
            open_store()
        assert (caught.value.code, caught.value.retryable) == ("login_refused", False)
        assert "hidden" not in str(caught.value)

    def test_those_of_a_profile(
        self, server: ObjectServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in server.variables:
            monkeypatch.delenv(name)
        (tmp_path / ".aws").mkdir()
        lines = ["[shop]", f"aws_access_key_id={ACCESS_KEY}", f"aws_secret_access_key={SECRET_KEY}"]
        (tmp_path / ".aws" / "credentials").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.setenv("AWS_PROFILE", "shop")
        store = open_store()
        store.put("packs/a/x", b"x")
        assert store.get("packs/a/x") == b"x"

    def test_an_endpoint_in_the_address_goes_before_variables(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        open_store().put("packs/a/x", b"x")

    def test_an_endpoint_in_a_variable(self, server: ObjectServer, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}/")
        url = server.url(place).partition("?")[0]
        with open_address(url) as store:
            store.put("packs/a/x", b"x")
            assert store.url == url

    @pytest.mark.parametrize("listening", [True, False])
    def test_none_at_all_is_told_soon(
        self, server: ObjectServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, listening: bool
    ) -> None:
        """What would lend keys is not there, or takes no connection."""
        for name in server.variables:
            monkeypatch.delenv(name)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            fillers = []
            if listening:  # with its queue full, so that a connection hangs
                silent.listen(0)
                for _ in range(3):
                    fillers.append(socket.socket())
                    fillers[-1].setblocking(False)
                    fillers[-1].connect_ex(silent.getsockname())
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
            begun = time.monotonic()
            with pytest.raises(StorePermissionError) as caught:
                open_store()
            assert time.monotonic() - begun < 4
            for filler in fillers:
                filler.close()
        assert (caught.value.code, caught.value.retryable) == ("credentials_missing", False)
        assert "AWS_ACCESS_KEY_ID" in str(caught.value)
        assert "AWS_PROFILE" in str(caught.value)

    def test_settings_of_azure_that_say_too_little(self) -> None:
        with pytest.raises(InputError) as caught:
            open_address("az://container/prefix")
        assert caught.value.code == "store_not_configured"
        assert "AZURE_STORAGE_ACCOUNT_NAME" in str(caught.value)
        assert caught.value.__context__ is None


class TestBucket:
    def test_an_absent_one_is_never_an_empty_store(self, server: ObjectServer) -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            open_address(server.absent_bucket_url)
        assert (caught.value.code, caught.value.retryable) == ("store_absent", False)
        assert "aws s3 mb s3://not-" in str(caught.value)

    def test_one_that_vanishes_is_never_an_empty_store(self, open_store: OpenStore, liar: LyingService) -> None:
        open_store().put("packs/a/x", b"x")
        store = open_store(liar.port)
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            liar.answer(method, 404, "" if method == "HEAD" else "<Error><Code>NoSuchBucket</Code></Error>")
        for name, work in each_operation(store).items():
            with pytest.raises(StoreUnavailableError) as caught:
                work()
            assert (caught.value.code, caught.value.retryable) == ("store_absent", False), name

    def test_an_empty_prefix_needs_no_making(self, open_store: OpenStore) -> None:
        assert list(open_store().list("")) == []

    def test_what_is_shown(self, server: ObjectServer, open_store: OpenStore, place: str) -> None:
        store = open_store(connections=3)
        assert store.url == server.url(place)
        assert isinstance(store, RemoteStore)
        assert lanes_of(store) == 3
        assert store.notices == ()
        assert SECRET_KEY not in repr(vars(store))

    def test_an_endpoint_in_clear_is_told(self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snapstore.stores.objects.clients.travels_in_clear", lambda endpoint: True)
        assert [code for code, _ in open_store().notices] == ["endpoint_in_clear"]

    def test_a_ca_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            open_address("s3://bucket/prefix?endpoint=https://localhost", ca_file=tmp_path / "absent.pem")
        assert caught.value.code == "ca_file_unreadable"

    def test_a_ca_file_that_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        file.write_text("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n", encoding="utf-8")
        with pytest.raises(InputError) as caught:
            open_address("s3://bucket/prefix?endpoint=https://localhost", ca_file=file)
        assert caught.value.code == "ca_file_unreadable"

    def test_a_certificate_is_trusted_by_a_ca_file_only(
        self, server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        try:
            with running_versitygw(tmp_path / "tls", tls=True) as secure:
                with pytest.raises(StoreError) as caught:
                    open_address(secure.url("place"))
                assert (caught.value.code, caught.value.retryable) == ("certificate_refused", False)
                with open_address(secure.url("place"), ca_file=secure.options.ca_file) as store:
                    store.put("packs/a/x", b"x")
                    assert store.get("packs/a/x") == b"x"
                monkeypatch.setenv("AWS_CA_BUNDLE", str(secure.options.ca_file))
                with open_address(secure.url("place")) as store:
                    assert store.get("packs/a/x") == b"x"
        except ServerMissingError as error:
            pytest.skip(str(error))

    def test_nobody_pickles_a_store_with_its_keys(self, open_store: OpenStore) -> None:
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(open_store())


class TestKeysInTheBucket:
    def bucket(self, server: ObjectServer, place: str) -> Bucket:
        return Bucket(Place.of(RemoteAddress.parse(server.url(place))), StoreOptions())

    def plant(self, server: ObjectServer, place: str, count: int) -> dict[str, int]:
        bucket = self.bucket(server, place)
        names = {f"packs/{number % 16:x}/{number:026x}": 1 for number in range(count)}
        for name in names:
            if server.folder is None:
                bucket.put(f"{place}/{name}", b"x", only_new=False)
                continue
            file = server.folder / place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
        return names

    def test_more_than_one_page(self, server: ObjectServer, open_store: OpenStore, place: str) -> None:
        names = self.plant(server, place, 2300)
        store = open_store()
        assert {found.name: found.size for found in store.list("packs")} == names
        in_folder = {name: 1 for name in names if name.startswith("packs/3/")}
        assert {found.name: found.size for found in store.list("packs/3")} == in_folder

    @pytest.mark.parametrize("reply", ["error", "page", "cut"])
    def test_a_later_page_that_fails(
        self, server: ObjectServer, open_store: OpenStore, place: str, liar: LyingService, reply: str
    ) -> None:
        names = self.plant(server, place, 2300)

        def cut(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            status, _, body = forward()
            return status, {}, body[: len(body) // 2]

        if reply == "error":
            liar.answer("GET", 500, when="continuation-token", times=1)
        elif reply == "page":
            liar.answer("GET", 200, "<html><p>Log in</p></html>", when="continuation-token", times=1)
            liar.answer("HEAD", 200, times=1)
        else:
            liar.act("GET", cut, when="continuation-token", times=1)
        store = open_store(liar.port)
        with pytest.raises(StoreUnavailableError) as caught:
            list(store.list("packs"))
        assert caught.value.retryable
        assert len(list(store.list("packs"))) == len(names)

    def test_markers_of_folders_are_no_objects(
        self, server: ObjectServer, open_store: OpenStore, liar: LyingService
    ) -> None:
        open_store().put("packs/a/x", b"x")

        def with_marker(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            status, _, body = forward()
            before, key, rest = body.partition(b"<Contents>")
            marker = body[body.index(b"<Contents>") : body.index(b"</Contents>") + len(b"</Contents>")]
            marker = marker.replace(b"/packs/a/x", b"/packs/a/").replace(b"<Size>1<", b"<Size>0<")
            assert b"<Size>0<" in marker
            return status, {}, before + marker + key + rest

        liar.act("GET", with_marker, when="packs")
        assert [found.name for found in open_store(liar.port).list("packs")] == ["packs/a/x"]

    def test_a_key_that_no_client_can_name_is_told(self, open_store: OpenStore, liar: LyingService) -> None:
        open_store().put("packs/a/x", b"x")

        def with_empty_folder(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            status, _, body = forward()
            return status, {}, body.replace(b"/packs/a/x", b"/packs//x")

        liar.act("GET", with_empty_folder, when="packs")
        with pytest.raises(StoreError) as caught:
            list(open_store(liar.port).list("packs"))
        assert caught.value.code == "foreign_key"

    def test_an_object_larger_than_any_is_not_fetched(
        self, server: ObjectServer, open_store: OpenStore, place: str
    ) -> None:
        if server.folder is None:
            pytest.skip(f"{server.name} has no folder to put it in")
        store = open_store()
        store.put("packs/a/x", b"x")
        with (server.folder / place / "packs" / "a" / "huge").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(StoreError) as caught:
            store.get("packs/a/huge")
        assert caught.value.code == "object_too_large"
        assert store.get("packs/a/huge", offset=1 << 39, size=5) == bytes(5)

    def test_a_whole_bucket_may_be_a_store(self, open_store: OpenStore, server: ObjectServer) -> None:
        whole = server.url("").replace("/?", "?")
        with open_address(whole) as store:
            store.put("wholebucket/x", b"x")
            assert [found.name for found in store.list("wholebucket")] == ["wholebucket/x"]
            assert "wholebucket/x" in [found.name for found in store.list("")]
            store.delete("wholebucket/x")
            with pytest.raises(ObjectNotFoundError):
                store.get("wholebucket/x")


@pytest.fixture(scope="module", name="azurite")
def azurite_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    try:
        with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
            yield server
    except ServerMissingError as error:
        pytest.skip(str(error))


class TestAzure:
    """The same of Azure's blobs, whose answers are worded otherwise."""

    @pytest.fixture(autouse=True)
    def keys(self, azurite: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, text in azurite.variables.items():
            monkeypatch.setenv(name, text)

    def test_an_absent_container_is_never_an_empty_store(self, azurite: ObjectServer) -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            open_address(azurite.absent_bucket_url)
        assert (caught.value.code, caught.value.retryable) == ("store_absent", False)
        assert "az storage container create" in str(caught.value)

    def test_wrong_keys(self, azurite: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "aGlkZGVu")
        with pytest.raises(StorePermissionError) as caught:
            open_address(azurite.url("place"))
        # The service itself says AuthenticationFailed, azurite AuthorizationFailure.
        assert caught.value.code in {"login_refused", "store_permission"}
        assert not caught.value.retryable
        assert "aGlkZGVu" not in str(caught.value)

    def test_a_lost_answer_is_told_as_such(self, azurite: ObjectServer) -> None:
        assert azurite.behind is not None
        with LyingService(azurite.port) as liar, open_address(azurite.behind(liar.port).url("lost")) as store:
            liar.drop_answer("PUT")
            with pytest.raises(StoreError) as caught:
                store.put("packs/a/x", b"x")
            assert (caught.value.code, caught.value.retryable) == ("put_uncertain", False)
            store.put("packs/a/y", b"y")
            assert {found.name for found in store.list("packs")} == {"packs/a/x", "packs/a/y"}


class TestGoogle:
    """How a gs: address is reached, and what its refusals are. There is no server of it to keep objects on."""

    @pytest.fixture
    def service(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingService]:
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "hidden")
        with LyingService(free_port()) as service:
            service.answer("GET", 200, "<ListBucketResult></ListBucketResult>", when="prefix=", times=1)
            yield service

    def test_where_it_asks(self, service: LyingService) -> None:
        service.answer("GET", 404, "<Error><Code>NoSuchKey</Code></Error>")
        store = open_address(f"gs://bucket/prefix?endpoint=http://127.0.0.1:{service.port}")
        with store, pytest.raises(ObjectNotFoundError):
            store.get("packs/a/x")
        assert service.seen[1:] == [("GET", "/bucket/prefix%2Fpacks%2Fa%2Fx")]

    @pytest.mark.parametrize(
        ("status", "code", "expected"), [(404, "NoSuchBucket", "store_absent"), (401, "Unauthorized", "login_refused")]
    )
    def test_refusals(self, service: LyingService, status: int, code: str, expected: str) -> None:
        for method in ("GET", "PUT", "HEAD", "DELETE"):
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"
            service.answer(method, status, "" if method == "HEAD" else body)
        with open_address(f"gs://bucket/prefix?endpoint=http://127.0.0.1:{service.port}") as store:
            for name, work in each_operation(store).items():
                with pytest.raises(StoreError) as caught:
                    work()
                assert (caught.value.code, caught.value.retryable) == (expected, False), name
                assert "hidden" not in str(caught.value)
