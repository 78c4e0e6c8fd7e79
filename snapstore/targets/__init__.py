"""Putting restored entries back into a file system: the mirror of `snapstore.sources`.

- `directory`     the target folder and the folders in it; nothing outside of it is ever touched
- `files`         one file on its way in, under a temporary name
- `attributes`    owner, mode, extended attributes, times
- `capabilities`  what the target's file system can hold, and the names it gets for what it cannot
- `syncing`       makes everything durable, once, at the end
- `problems`      the codes of everything that can be lost or go wrong on the way

Not here: which entry goes where, and what happens to what is in the way (`snapstore.operations`). Everything here takes
plain values, so that it knows neither the format nor the repository.
"""
