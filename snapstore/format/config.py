"""Config objects: what must be known of a repository before any key is.

Here: `Config` with its chunking parameters, the MACed object, and how several objects are united. Not here: feature
names that a version implements beyond the two sets below.

Rules (docs/format/03-config.md): everything is readable without a key; whoever holds the maintenance key checks the
mac and believes the object only then. An unknown format version or read feature is unsupported, an unknown write
feature leaves the repository readable. Objects that contradict each other are tampering, since every writer copies
these fields unchanged.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..crypto.derivation import KEY_BYTES, keyed
from ..crypto.kdf import KdfParameters
from ..errors import InputError, TamperedError
from ..limits import (
    BUNDLE_FILE_MAX_BYTES,
    BUNDLE_MAX_BYTES,
    BUNDLE_MEAN_BYTES,
    BUNDLE_MIN_BYTES,
    CHUNK_MAX_BYTES,
    COARSE_TARGET_BYTES,
    FINE_TARGET_BYTES,
    FORMAT_MAX_KDF_GENERATIONS,
    INLINE_MAX_BYTES,
    KIB,
    PAGE_CHUNK_BYTES,
    PAGE_CHUNK_MAX_BYTES,
)
from ..types import MediumId, RepositoryId
from .envelope import ENVELOPE_BYTES, Envelope, Kind
from .packing import (
    I64_MAX,
    I64_MIN,
    U32_MAX,
    Fields,
    as_bytes,
    as_int,
    as_list,
    damaged,
    decode,
    encode,
    refuse,
    unsupported,
)
from .signed import SIZE, split_body

FORMAT_VERSION: Final = 1
KNOWN_READ_FEATURES: Final[frozenset[str]] = frozenset()
KNOWN_WRITE_FEATURES: Final[frozenset[str]] = frozenset()
CONFIG_EPOCH: Final = 1
_CONFIG: Final = "config"
_MAC_BYTES: Final = KEY_BYTES
_TARGET_MIN_BYTES: Final = 4 * KIB  # a Gear cutter looks at 64 bytes before its minimum, which is half of this
_DEFAULT_PAGE_EXTENSIONS: Final = (  # databases that rewrite pages in place and are not SQLite
    ".accdb", ".dbf", ".edb", ".fdb", ".fic", ".gdb", ".ibd", ".ldf", ".mdb", ".mdf", ".mmo", ".ndx",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingParameters:
    """How files are cut; the same for the life of a repository, or nothing would deduplicate."""

    page_chunk_bytes: int
    fine_target_bytes: int
    coarse_target_bytes: int
    page_extensions: tuple[str, ...]
    """Lower case, with the dot, sorted."""
    inline_max_bytes: int
    bundle_file_max_bytes: int
    bundle_min_bytes: int
    bundle_mean_bytes: int
    bundle_max_bytes: int

    @classmethod
    def default(cls) -> ChunkingParameters:
        """What new repositories get."""
        return cls(
            page_chunk_bytes=PAGE_CHUNK_BYTES,
            fine_target_bytes=FINE_TARGET_BYTES,
            coarse_target_bytes=COARSE_TARGET_BYTES,
            page_extensions=_DEFAULT_PAGE_EXTENSIONS,
            inline_max_bytes=INLINE_MAX_BYTES,
            bundle_file_max_bytes=BUNDLE_FILE_MAX_BYTES,
            bundle_min_bytes=BUNDLE_MIN_BYTES,
            bundle_mean_bytes=BUNDLE_MEAN_BYTES,
            bundle_max_bytes=BUNDLE_MAX_BYTES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One config object, or several united. `kdf` is in rising order of generation."""

    repository_id: RepositoryId
    medium_id: MediumId
    generation: int
    created_ns: int
    read_features: tuple[str, ...] = ()
    write_features: tuple[str, ...] = ()
    protected: bool
    sharing: bool
    chunking: ChunkingParameters = field(default_factory=ChunkingParameters.default)
    kdf: tuple[KdfParameters, ...]

    @property
    def unknown_write_features(self) -> tuple[str, ...]:
        """Features because of which this version must not write; it may read."""
        return tuple(name for name in self.write_features if name not in KNOWN_WRITE_FEATURES)

    def kdf_generation(self, generation: int) -> KdfParameters | None:
        """The parameters that a slot names, if they are there."""
        return next((item for item in self.kdf if item.generation == generation), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedConfig:
    """A config whose mac has not been looked at."""

    config: Config
    message: bytes = field(repr=False)
    mac: bytes

    def verify(self, mac_key: bytes) -> bool:
        """Whether it was written with the maintenance key that this subkey (`MaintenanceKeys.config`) comes from."""
        return hmac.compare_digest(keyed(mac_key, self.message), self.mac)


def encode_config(config: Config, mac_key: bytes) -> bytes:
    """A whole config object."""
    chunking = config.chunking
    body = encode(
        {
            0: config.repository_id,
            1: config.medium_id,
            2: config.generation,
            3: config.created_ns,
            4: FORMAT_VERSION,
            5: sorted(set(config.read_features)),
            6: sorted(set(config.write_features)),
            7: config.protected,
            8: config.sharing,
            9: {
                0: chunking.page_chunk_bytes,
                1: chunking.fine_target_bytes,
                2: chunking.coarse_target_bytes,
                3: sorted(set(chunking.page_extensions)),
                4: chunking.inline_max_bytes,
                5: chunking.bundle_file_max_bytes,
                6: chunking.bundle_min_bytes,
                7: chunking.bundle_mean_bytes,
                8: chunking.bundle_max_bytes,
            },
            10: [
                [item.generation, item.salt, item.memory_kib, item.iterations, item.lanes]
                for item in sorted(config.kdf, key=lambda item: item.generation)
            ],
        }
    )
    head = Envelope.of(Kind.CONFIG, CONFIG_EPOCH).encode()
    return head + SIZE.pack(len(body)) + body + keyed(mac_key, head + body)


def decode_config(data: bytes) -> DecodedConfig:
    """The config in an object, its mac still to be checked."""
    envelope, body, mac = split_body(Kind.CONFIG, data, _MAC_BYTES)
    if envelope.epoch != CONFIG_EPOCH:
        raise damaged(_CONFIG, "has an impossible envelope")
    value = decode(body, what=_CONFIG)
    if type(value) is dict and type(value.get(4)) is int and value[4] != FORMAT_VERSION:
        raise unsupported("repository", f"has format version {value[4]}")
    fields = Fields(value, _CONFIG, range(11))
    fields.integer(4, FORMAT_VERSION, FORMAT_VERSION)
    read_features = _rising(fields.texts(5), "read features")
    unknown = [name for name in read_features if name not in KNOWN_READ_FEATURES]
    if unknown:
        raise unsupported("repository", f"needs features that this version does not know: {', '.join(unknown)}")
    config = Config(
        repository_id=RepositoryId(fields.octets(0, 16)),
        medium_id=MediumId(fields.octets(1, 16)),
        generation=fields.integer(2, 1, U32_MAX),
        created_ns=fields.integer(3, I64_MIN, I64_MAX),
        read_features=read_features,
        write_features=_rising(fields.texts(6), "write features"),
        protected=fields.flag(7),
        sharing=fields.flag(8),
        chunking=_decode_chunking(fields.raw(9)),
        kdf=_decode_kdf(fields.items(10)),
    )
    return DecodedConfig(config=config, message=data[:ENVELOPE_BYTES] + body, mac=mac)


def _rising(texts: tuple[str, ...], name: str) -> tuple[str, ...]:
    if list(texts) != sorted(set(texts)):
        refuse(_CONFIG, name)
    return texts


def _decode_chunking(value: object) -> ChunkingParameters:
    fields = Fields(value, _CONFIG, range(9))
    extensions = _rising(fields.texts(3), "page file extensions")
    if any(not text.startswith(".") or text != text.lower() for text in extensions):
        refuse(_CONFIG, "page file extensions")
    return ChunkingParameters(
        page_chunk_bytes=fields.integer(0, 512, PAGE_CHUNK_MAX_BYTES),
        fine_target_bytes=fields.integer(1, _TARGET_MIN_BYTES, CHUNK_MAX_BYTES // 4),
        coarse_target_bytes=fields.integer(2, _TARGET_MIN_BYTES, CHUNK_MAX_BYTES // 4),
        page_extensions=extensions,
        inline_max_bytes=fields.integer(4, 0, INLINE_MAX_BYTES),
        bundle_file_max_bytes=fields.integer(5, 0, CHUNK_MAX_BYTES),
        bundle_min_bytes=fields.integer(6, 0, CHUNK_MAX_BYTES),
        bundle_mean_bytes=fields.integer(7, 1, CHUNK_MAX_BYTES),
        bundle_max_bytes=fields.integer(8, fields.integer(5), CHUNK_MAX_BYTES),
    )


def _decode_kdf(items: list[object]) -> tuple[KdfParameters, ...]:
    name = "key derivation parameters"
    if len(items) > FORMAT_MAX_KDF_GENERATIONS:
        refuse(_CONFIG, name)
    found: list[KdfParameters] = []
    for item in items:
        generation, salt, *costs = as_list(item, _CONFIG, name, 5)
        memory_kib, iterations, lanes = (as_int(cost, _CONFIG, name, 0, U32_MAX) for cost in costs)
        try:
            parameters = KdfParameters(
                generation=as_int(generation, _CONFIG, name, 1, U32_MAX),
                salt=as_bytes(salt, _CONFIG, name),
                memory_kib=memory_kib,
                iterations=iterations,
                lanes=lanes,
            )
        except InputError:
            refuse(_CONFIG, name)
        if found and parameters.generation <= found[-1].generation:
            refuse(_CONFIG, name)
        found.append(parameters)
    return tuple(found)


def newest_config(configs: Sequence[Config]) -> Config:
    """The one of several that says which medium this is."""
    return max(configs, key=lambda config: (config.generation, config.medium_id))


def unite_configs(configs: Sequence[Config]) -> Config:
    """What several whole config objects say together. `TamperedError` if they contradict each other."""
    if not configs:
        raise InputError("There is no config to unite.")
    newest = newest_config(configs)
    kdf: dict[int, KdfParameters] = {}
    for config in configs:
        same = (
            config.repository_id == newest.repository_id
            and config.protected == newest.protected
            and config.sharing == newest.sharing
            and config.chunking == newest.chunking
            and all(kdf.setdefault(item.generation, item) == item for item in config.kdf)
        )
        if not same:
            raise TamperedError("The config objects of the repository contradict each other.", code="config_conflict")
    return replace(
        newest,
        read_features=tuple(sorted({name for config in configs for name in config.read_features})),
        write_features=tuple(sorted({name for config in configs for name in config.write_features})),
        kdf=tuple(kdf[generation] for generation in sorted(kdf)),
    )
