"""Records to bytes and back: one module per kind of object, one per chapter of docs/format.

Here: `packing` (canonical msgpack), `envelope`, the shapes (`sealed`, `signed`), `names`, and the objects: `config`,
`keyset`, `pack`, `index`, `tree`, `manifest`, `record`, `notes`. Not here: where objects lie, when they are written,
and what they mean together.

Rules: a decoder takes any bytes: it returns a value or raises `DamageError` or `UnsupportedFormatError`, nothing else.
Every value has one encoding, and decoding refuses all others. Encoders take ids, times and keys as arguments; the only
thing they draw themselves are nonces and object ids."""
