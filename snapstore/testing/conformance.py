"""The rules of a store, as tests: one method a rule.

Here: `StoreConformance`. A store of one's own is tested by deriving from it, with any test runner that collects
methods called `test_...` (pytest does when the class is called `Test...`):

    class TestMyStore(StoreConformance):
        @pytest.fixture(autouse=True)
        def _place(self, tmp_path):
            self.place = tmp_path

        def open_store(self):
            return MyStore(self.place)

Not here: what only one kind of store has, such as a device that vanishes.

Rules: every test starts on an empty store of its own; `open_store` opens the same one again within a test. Nothing
here needs pytest.
"""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor

from ..errors import DamagedObjectError, InputError, ObjectNotFoundError, StoreError
from ..limits import MAX_OBJECT_BYTES, NAME_ELEMENT_MAX_CHARS
from ..stores.protocol import README_NAME, Store
from .building_rules import BuildingRules
from .under_test import StoreUnderTest, listing, raises

LONGEST = "0123456789abcdefghijklmnopqrstuv"
_BAD_NAMES = (
    "",
    "packs",
    "/packs/a/x",
    "packs/",
    "packs//x",
    "packs/../x",
    "./packs/x",
    "packs/A/x",
    "packs/a/é",
    "packs/a/x.tmp",
    "packs/a/x y",
    "packs/a/b/x",
    "packs\\x",
    "packs/x\n",
    "packs/x\0",
    "tmp/x",
    "packs/" + "0" * (NAME_ELEMENT_MAX_CHARS + 1),
    "packs/con",
    "aux/x",
    "readme.txt",
    "packs/README.txt",
)
_FOREIGN = (
    "desktop.ini",
    ".DS_Store",
    "System Volume Information/tracking.log",
    "packs/Thumbs.db",
    "packs/a/notes.txt",
)


class ObjectRules(StoreUnderTest):
    """Objects one by one: put and get."""

    def test_what_was_put_is_got(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/one", b"content")
            assert store.get("packs/a/one") == b"content"

    def test_an_object_may_be_empty(self) -> None:
        with self.open_store() as store:
            store.put("config/nothing", b"")
            assert store.get("config/nothing") == b""
            assert listing(store, "config") == {"config/nothing": 0}

    def test_every_allowed_shape_of_name_is_stored(self) -> None:
        names = [README_NAME, "config/0", f"packs/0/{LONGEST}", f"{LONGEST}/{LONGEST}/{LONGEST}"]
        with self.open_store() as store:
            for name in names:
                store.put(name, name.encode())
            assert [store.get(name) for name in names] == [name.encode() for name in names]
            assert listing(store, "") == {name: len(name) for name in names}

    def test_a_file_is_taken_from_its_position_to_its_end_and_left_open(self) -> None:
        file = io.BytesIO(b"before|content")
        file.seek(7)
        with self.open_store() as store:
            store.put("packs/a/file", file, size=7)
            assert store.get("packs/a/file") == b"content"
            assert not file.closed

    def test_another_size_than_announced_is_refused(self) -> None:
        with self.open_store() as store:
            for size in (0, 6, 8):
                with raises(InputError):
                    store.put("packs/a/sized", b"content", size=size)
                with raises(InputError):
                    store.put("packs/a/sized", io.BytesIO(b"content"), size=size)
            assert listing(store, "") == {}

    def test_the_largest_object_is_stored_and_a_larger_one_refused(self) -> None:
        largest = self.largest_object_bytes
        block = random.Random(1).randbytes(1 << 20)
        content = (block * (largest // len(block) + 1))[:largest]
        with self.open_store() as store:
            store.put("packs/a/largest", content)
            assert store.get("packs/a/largest") == content
            assert store.get("packs/a/largest", offset=largest - 3) == content[-3:]
            with raises(InputError):
                store.put("packs/a/larger", bytes(MAX_OBJECT_BYTES + 1))
            assert listing(store, "packs") == {"packs/a/largest": largest}

    def test_ranges(self) -> None:
        content = bytes(range(256)) * 40
        with self.open_store() as store:
            store.put("packs/a/range", content)
            for offset, size in ((0, 1), (0, 10240), (5000, 300), (10239, 1), (10240, 0), (0, 0)):
                assert store.get("packs/a/range", offset=offset, size=size) == content[offset : offset + size]
            assert store.get("packs/a/range", offset=10000) == content[10000:]
            assert store.get("packs/a/range", offset=10240) == b""

    def test_a_range_beyond_the_end_is_an_error_and_never_shorter(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/short", b"0123456789")
            for offset, size in ((0, 11), (9, 2), (10, 1), (11, 0), (11, None), (1 << 40, 1)):
                with raises(DamagedObjectError):
                    store.get("packs/a/short", offset=offset, size=size)

    def test_a_negative_range_is_refused(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/range", b"0123456789")
            with raises(InputError):
                store.get("packs/a/range", offset=-1)
            with raises(InputError):
                store.get("packs/a/range", size=-1)

    def test_an_absent_object_is_not_found(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/there", b"x")
            for name in ("packs/a/absent", "packs/b/absent", "index/absent", README_NAME):
                with raises(ObjectNotFoundError):
                    store.get(name)
                with raises(ObjectNotFoundError):
                    store.delete(name)


class NameRules(StoreUnderTest):
    """Names, and what is listed and deleted by them."""

    def test_names_outside_the_rules_are_refused(self) -> None:
        with self.open_store() as store:
            for name in _BAD_NAMES:
                with raises(InputError, name):
                    store.put(name, b"x")
                with raises(InputError, name):
                    store.get(name)
                with raises(InputError, name):
                    store.delete(name)
            assert listing(store, "") == {}

    def test_folders_outside_the_rules_are_refused(self) -> None:
        with self.open_store() as store:
            for prefix in ("..", "/", "/packs", "Packs", "packs/../tmp", "packs/a/b", "packs*", "packs//"):
                with raises(InputError, prefix):
                    list(store.list(prefix))

    def test_a_name_is_used_once(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/once", b"first")
            with raises(InputError):
                store.put("packs/a/once", b"second, and longer")
            with raises(InputError):
                store.put("packs/a/once", b"first")
            assert store.get("packs/a/once") == b"first"

    def test_an_empty_store_lists_nothing(self) -> None:
        with self.open_store() as store:
            for prefix in ("", "packs", "packs/a", "packs/", "tmp"):
                assert listing(store, prefix) == {}

    def test_a_listing_has_all_below_the_folder_and_nothing_else(self) -> None:
        sizes = {"packs/a/1": 1, "packs/a/2": 2, "packs/b/3": 3, "packsx/a/4": 4, "index/5": 5, README_NAME: 6}
        with self.open_store() as store:
            for name, size in sizes.items():
                store.put(name, b"x" * size)
            assert listing(store, "") == sizes
            assert listing(store, "packs") == {"packs/a/1": 1, "packs/a/2": 2, "packs/b/3": 3}
            assert listing(store, "packs/") == listing(store, "packs")
            assert listing(store, "packs/a") == {"packs/a/1": 1, "packs/a/2": 2}
            assert listing(store, "packs/a/") == listing(store, "packs/a")
            assert listing(store, "pack") == {}

    def test_a_listing_of_many_is_complete(self) -> None:
        names = {f"packs/{number % 16:x}/{number:032x}": 1 for number in range(self.objects_in_bulk)}
        with self.open_store() as store:
            for name in names:
                store.put(name, b"x")
            assert listing(store, "packs") == names

    def test_what_was_deleted_is_gone(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/gone", b"x")
            store.put("packs/a/stays", b"y")
            store.delete("packs/a/gone")
            assert listing(store, "packs") == {"packs/a/stays": 1}
            with raises(ObjectNotFoundError):
                store.get("packs/a/gone")
            with raises(ObjectNotFoundError):
                store.delete("packs/a/gone")

    def test_foreign_files_are_never_listed_and_never_touched(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/mine", b"mine")
            for path in _FOREIGN:
                self.plant_foreign_file(path, b"foreign")
            assert listing(store, "") == listing(store, "packs") == {"packs/a/mine": 4}
            store.clean_temporaries("unnamed")
            store.delete("packs/a/mine")
            assert listing(store, "") == {}
            assert [self.foreign_file(path) for path in _FOREIGN] == [b"foreign"] * len(_FOREIGN)


class SharingRules(StoreUnderTest):
    """Objects over time, and under several hands."""

    def test_objects_are_there_after_opening_again(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/kept", b"content")
            store.put("packs/a/dropped", b"x")
            store.delete("packs/a/dropped")
        with self.open_store() as store:
            assert listing(store, "") == {"packs/a/kept": 7}
            assert store.get("packs/a/kept") == b"content"

    def test_what_one_writer_put_the_other_sees(self) -> None:
        with self.open_store() as one, self.open_store() as other:
            assert listing(other, "packs") == {}
            one.put("packs/a/shared", b"x")
            assert listing(other, "packs") == {"packs/a/shared": 1}
            other.delete("packs/a/shared")
            assert listing(one, "packs") == {}

    def test_many_threads_put_at_once(self) -> None:
        contents = {
            f"packs/{number % 16:x}/{number:032x}": bytes([number]) * 5000
            for number in range(min(48, self.objects_in_bulk))
        }
        with self.open_store() as store:
            with ThreadPoolExecutor(6) as pool:
                list(pool.map(lambda item: store.put(*item), contents.items()))
            assert listing(store, "packs") == dict.fromkeys(contents, 5000)
            assert all(store.get(name) == content for name, content in contents.items())

    def test_of_many_puts_of_one_name_one_wins(self) -> None:
        contents = [bytes([number]) * 3000 for number in range(8)]
        with self.open_store() as one, self.open_store() as other:

            def won(number: int) -> bool:
                try:
                    (one, other)[number % 2].put("packs/a/race", contents[number])
                except InputError:
                    return False
                return True

            with ThreadPoolExecutor(8) as pool:
                winners = [number for number, ok in enumerate(pool.map(won, range(8))) if ok]
            assert len(winners) == 1
            assert one.get("packs/a/race") == contents[winners[0]]
            assert listing(one, "") == {"packs/a/race": 3000}

    def test_a_listing_under_way_survives_puts_and_deletes(self) -> None:
        stable = {f"packs/{number % 4:x}/{number:032x}": 1 for number in range(min(40, self.objects_in_bulk))}
        with self.open_store() as store:
            for name in stable:
                store.put(name, b"x")
            listing = store.list("packs")
            seen = {next(listing).name}
            for number in range(min(20, self.objects_in_bulk)):
                store.put(f"packs/{number % 4:x}/new{number}", b"x")
                store.delete(f"packs/{number % 4:x}/new{number}")
            seen.update(found.name for found in listing)
            assert {name for name in seen if "new" not in name} == set(stable)

    def test_cleaning_touches_no_object(self) -> None:
        with self.open_store() as store:
            store.clean_temporaries("unnamed")
            store.put("packs/a/kept", b"x")
            store.clean_temporaries("unnamed")
            assert listing(store, "") == {"packs/a/kept": 1}
            for station in ("", "a-b", "../x", "A"):
                with raises(InputError, station):
                    store.clean_temporaries(station)

    def test_the_rest_of_the_contract(self) -> None:
        store = self.open_store()
        assert isinstance(store, Store)
        assert store.url
        assert store.url.isprintable()
        free = store.free_bytes()
        assert free is None or free >= 0
        store.close()
        store.close()

    def test_an_error_names_the_object_and_says_whether_to_try_again(self) -> None:
        with self.open_store() as store:
            with raises(ObjectNotFoundError) as caught:
                store.get("packs/a/absent")
            assert isinstance(caught[0], StoreError)
            assert caught[0].retryable is False
            assert "packs/a/absent" in str(caught[0])


class StoreConformance(ObjectRules, NameRules, SharingRules, BuildingRules):
    """All the rules. Define `open_store`, and the two foreign-file methods where the storage can hold other files."""
