"""Small objects that have a second place: configs, keysets, records, manifests and their copies.

Here: which of them can be brought back, and doing it. Not here: blobs (`packs`), indexes (`indexes`), whole snapshots
that only a twin has (`twins`).

Rules: an object's name tells what its bytes must be, so whatever has these bytes is the one; it is put under a new name
before the bad one is deleted. Nothing comes back that a signed record forgot, and no keyset that is older than what the
station has seen. A copy in ok/ says that a snapshot was found whole: it is put only where one was before, and after
everything that the snapshot needs was seen to be there. A config comes from this medium alone, since it names it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ...blobs.catalogue import read_condemned
from ...blobs.naming import put_named
from ...crypto.derivation import digest
from ...errors import DamagedObjectError, DamageError, ObjectNotFoundError, StoreError
from ...format.names import CONFIG, DOSSIERS, HASH_DIGITS, OK, RECORDS, SESSIONS, SNAPSHOTS, name_matches
from ...stores.cached import uncached
from ...types import BlobId, SnapshotId
from ..context import RepositoryContext
from ..meter import Meter
from .needs import Needs
from .remedy import Remedy
from .survey import Survey, folder_of, hash_of, small_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What remedies are made from."""

    context: RepositoryContext
    survey: Survey
    twin: RepositoryContext | None
    forgotten: Collection[SnapshotId]
    """Of all dossiers that this station can read."""
    expected: Collection[SnapshotId]
    """What counted as whole on this medium, by what is written on it or this station saw itself."""
    meter: Meter

    def second_place(self, name: str) -> tuple[RepositoryContext, str] | None:
        """Return where a whole object with the bytes of `name` lies: beside it, in its sister folder, on the twin."""
        sister = _sister(name)
        folders = [folder_of(name)] if sister is None else [folder_of(name), sister]
        for folder in folders:
            found = self.survey.has(folder, name)
            if found is not None:
                return self.context, found
        if self.twin is not None and not name.startswith(f"{CONFIG}/"):
            for folder in folders:
                for item in self.twin.store.list(folder):
                    if hash_of(item.name) == hash_of(name) and _is_whole(self.twin, item.name):
                        return self.twin, item.name
        return None


def remedies_for_single(scene: Scene) -> Iterator[Remedy | str]:
    """Yield what to do about bad configs, keysets, records and session notes; names of what is lost."""
    survey = scene.survey
    for name in small_objects(survey, SESSIONS):
        yield Remedy.removing(scene.context, name, "a note that pins nothing")
    for name, packs in sorted(survey.condemned.items()):
        if survey.packs.keys().isdisjoint(packs):
            yield Remedy.removing(scene.context, name, "all packs that it condemned are gone")
    for folder in (CONFIG, DOSSIERS, RECORDS):
        for name in small_objects(survey, folder):
            place = scene.second_place(name)
            if folder == CONFIG and place is None:
                whole = sorted(item for (where, _), names in survey.whole.items() if where == CONFIG for item in names)
                place = (scene.context, whole[0]) if whole else None
            if place is None:
                yield name
            else:
                yield _again(scene, name, place)


def remedies_for_manifests(scene: Scene) -> Iterator[Remedy | str]:
    """Yield what to do about manifests and copies that are bad, or of which one is not there."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    survey = scene.survey
    for name in [*survey.roots, *small_objects(survey, SNAPSHOTS), *small_objects(survey, OK)]:
        groups[folder_of(name).partition("/")[2], hash_of(name)].append(name)
    for (dossier, _), names in sorted(groups.items()):
        bad = sorted(name for name in names if name in survey.bad)
        whole = {name.split("/")[0]: name for name in names if name not in survey.bad}
        root = next((survey.roots[name] for name in whole.values()), None)
        if root is None:
            yield from bad
        elif root.snapshot_id in scene.forgotten:
            yield from (Remedy.removing(scene.context, name, "its snapshot was forgotten") for name in bad)
        elif len(whole) == 2:
            yield from (Remedy.removing(scene.context, name, "the same is there, whole") for name in bad)
        elif OK in whole:
            yield _again(
                scene,
                bad[0] if bad else f"{SNAPSHOTS}/{dossier}/{whole[OK].rpartition('/')[2]}",
                (scene.context, whole[OK]),
                bad,
            )
        elif bad or root.snapshot_id in scene.expected:
            yield _confirmed_again(scene, whole[SNAPSHOTS], bad, root.root_id)


def _again(scene: Scene, name: str, place: tuple[RepositoryContext, str], bad: Collection[str] | None = None) -> Remedy:
    """Return the remedy that puts an object again, under a new name, and deletes the bad ones."""
    source, found = place
    folder = folder_of(name)
    where = "its second place" if source is scene.context else source.store.url
    is_there = source is scene.context and folder_of(found) == folder and hash_of(found) == hash_of(name)

    def act() -> int:
        added = 0
        if not is_there:
            data = _get_whole(source, found)
            put_named(scene.context.store, lambda new: f"{folder}/{new}", data)
            added = len(data)
        remove(scene.context, [name] if bad is None else bad)
        return added

    message = f"{name} is put again under a new name, from {found} in {where}; what is bad of it is deleted."
    return Remedy("restore_copy", name, message, act)


def _confirmed_again(scene: Scene, manifest: str, bad: Collection[str], root_id: BlobId) -> Remedy:
    folder = folder_of(manifest).replace(SNAPSHOTS, OK, 1)
    context = scene.context

    def act() -> int:
        unusable = {*read_condemned(context.catalogue()), *scene.survey.bad_packs}
        needs = Needs(context, scene.meter, unusable)
        if needs.lost_below([root_id]):
            raise DamagedObjectError(
                f"{manifest} is not confirmed again: its snapshot is not whole.", code="damaged_blob"
            )
        data = _get_whole(context, manifest)
        put_named(context.store, lambda new: f"{folder}/{new}", data)
        remove(context, bad)
        return len(data)

    message = f"The copy of {manifest} in {OK}/ is put again if all that its snapshot needs is there."
    return Remedy("restore_copy", min(bad, default=f"{folder}/{manifest.rpartition('/')[2]}"), message, act)


def remove(context: RepositoryContext, names: Collection[str]) -> None:
    """Delete objects; one that is gone already is no matter."""
    for name in names:
        try:
            context.store.delete(name)
        except ObjectNotFoundError:
            continue


def _sister(name: str) -> str | None:
    folder, _, rest = folder_of(name).partition("/")
    other = {SNAPSHOTS: OK, OK: SNAPSHOTS}.get(folder)
    return None if other is None else f"{other}/{rest}"


def _get_whole(context: RepositoryContext, name: str) -> bytes:
    data = uncached(context.store).get(name)
    if not name_matches(name.rpartition("/")[2], digest(data)):
        raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
    return data


def _is_whole(context: RepositoryContext, name: str) -> bool:
    try:
        return len(name.rpartition("/")[2]) > HASH_DIGITS and bool(_get_whole(context, name))
    except (DamageError, StoreError):
        return False
