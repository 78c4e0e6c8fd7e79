"""The `snapstore` command: a thin layer over the public names of the package.

Here: options, prompts, tables, progress bars, exit codes. Not here: anything an embedding application could need;
whatever the command can do, `snapstore`'s Python interface can do in one call.

Rules: this is the one place of the package that prints, reads environment variables and catches signals. Results go to
stdout, everything else (progress, warnings, questions, errors) to stderr or the terminal. A secret is never an
argument, never printed, and taken out of the environment before anything else is started. Names from a snapshot are
made printable before they reach a terminal. click and rich belong to the extra `cli` and are imported only when
needed.
"""
