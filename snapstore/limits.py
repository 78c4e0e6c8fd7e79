"""Every limit of size, count and time, with its unit in the name and its reason beside it.

Nothing else is here. A limit that readers enforce is part of the format (docs/format) and never shrinks.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * 1024

# --- the store ---------------------------------------------------------------------------------------------------
MAX_OBJECT_BYTES: Final = 64 * MIB  # FAT32, FTP servers and object storage all take this without multi-part uploads
REMOTE_READ_BACK_BYTES: Final = 256 * KIB  # read back after a put to a server; of larger objects the size is asked
LISTING_MAX_NAMES: Final = 4 * 1024 * 1024  # packs of 128 TB; a server that lists more never ends, and memory does
NAME_ELEMENT_MAX_CHARS: Final = 32  # three 32-byte directory records on FAT32, so 21,000 names a folder
NAME_MAX_ELEMENTS: Final = 3  # "packs/a/name" is the deepest

# --- secrets -----------------------------------------------------------------------------------------------------
SECRET_MIN_CODE_POINTS: Final = 8
SECRET_MAX_BYTES: Final = 4096  # a pasted file is a mistake, and Argon2 hashes any length
KDF_MIN_MEMORY_KIB: Final = 64 * KIB  # the floor the design sets; RFC 9106's second choice
KDF_MAX_MEMORY_KIB: Final = 256 * KIB  # an old replacement PC must still be able to open the dossier
KDF_NEW_MEMORY_KIB: Final = 128 * KIB  # of new repositories: a restore has 200 MB in all
KDF_ITERATIONS: Final = 3
KDF_MAX_ITERATIONS: Final = 16
KDF_MIN_ITERATIONS: Final = 3
KDF_LANES: Final = 4
KDF_MAX_LANES: Final = 16
KDF_TARGET_SECONDS: Final = 0.7  # long for a guesser, short for a person

# --- chunking ----------------------------------------------------------------------------------------------------
PAGE_CHUNK_BYTES: Final = 16 * KIB  # measured on a shop database: 4.4 MB a day against 6.5 with 32 KiB
PAGE_CHUNK_MAX_BYTES: Final = 64 * KIB  # SQLite's largest page
FINE_TARGET_BYTES: Final = 64 * KIB
COARSE_TARGET_BYTES: Final = 1 * MIB
CHUNK_MAX_BYTES: Final = 4 * MIB  # coarse target x 4; the cap of every data blob's plaintext
SHARED_MIN_FILE_BYTES: Final = 256 * KIB  # below this, guessing a file's content by its dedup would be cheap

# --- small files -------------------------------------------------------------------------------------------------
INLINE_MAX_BYTES: Final = 512  # a reference and its index line cost about 250 bytes
# Larger bundles compress better and cost less each, and an edit costs more (benchmarks/parameters, docs/design/007).
BUNDLE_FILE_MAX_BYTES: Final = 64 * KIB
BUNDLE_MIN_BYTES: Final = 64 * KIB
BUNDLE_MEAN_BYTES: Final = 64 * KIB  # expected bytes beyond the minimum before a cut
BUNDLE_MAX_BYTES: Final = 256 * KIB
INLINE_CHUNKS_MAX: Final = 8  # chunk references kept in the entry itself: a document of 300 KB needs no chunk list
INLINE_XATTR_MAX_BYTES: Final = 2 * KIB  # larger extended attributes go to a data blob of their own

# --- trees -------------------------------------------------------------------------------------------------------
NODE_MIN_ITEMS: Final = 2  # every level at least halves, so any content gives a tree of finite height
NODE_MAX_ITEMS: Final = 128
NODE_SOFT_BYTES: Final = 64 * KIB  # a node is closed when its encoded items reach this
TREE_BLOB_MAX_BYTES: Final = 1 * MIB  # the cap of every tree blob's plaintext
TREE_MAX_LEVELS: Final = 40

# --- packs and indexes -------------------------------------------------------------------------------------------
PACK_TARGET_BYTES: Final = 32 * MIB
OPEN_DATA_PACKS: Final = 2  # a chunk goes to one at random: neighbours in a file are not neighbours in a pack
HEADER_ALIGNMENT_BYTES: Final = 4 * KIB
INDEX_EVERY_PACKS: Final = 16
READ_WINDOW_BYTES: Final = 1 * MIB  # ranged reads are widened to this, so that their lengths tell nothing

# --- parity ------------------------------------------------------------------------------------------------------
PARITY_BLOCK_BYTES: Final = 64 * KIB  # what a checksum covers: 16 bytes for each are 0.03 % of a pack
PARITY_SECTOR_BYTES: Final = 4 * KIB  # what disks lose at a time, at least
PARITY_DATA_ROWS: Final = 32  # three parity rows then take 9.4 % of a full pack, and heal a hole of 2 MiB in it
PARITY_MAX_ROWS: Final = 3
PARITY_COPY_BELOW_BYTES: Final = 1 * MIB  # of smaller packs a copy: they have too few blocks for rows

# --- work in progress --------------------------------------------------------------------------------------------
BATCH_BYTES: Final = MIB  # what one worker seals at a time: 3 MiB took as long, and 30 MB more memory for photos
BATCH_ITEMS: Final = 256  # small blobs a worker takes at a time, however few bytes they have
PENDING_BYTES: Final = 12 * MIB  # plaintext read ahead of the workers; bounds memory whatever the tree's size
PROGRESS_INTERVAL_SECONDS: Final = 0.1
PROBLEMS_KEPT: Final = 1000  # problems stored with a snapshot; the count is always exact

# --- records -----------------------------------------------------------------------------------------------------
MSGPACK_MAX_NESTING: Final = 16  # twice what any record needs
MSGPACK_MAX_ITEMS: Final = 128 * KIB  # of one array or map: bounds what a forged count makes a decoder allocate
FORMAT_MAX_SLOTS: Final = 64  # each kind of secret costs an Argon2id run, and nobody keeps more sheets than this
FORMAT_MAX_STATIONS: Final = 1000  # a PC replaced every month for a human lifetime
FORMAT_MAX_EPOCHS: Final = 1000
FORMAT_MAX_KDF_GENERATIONS: Final = 64  # as many as slots
