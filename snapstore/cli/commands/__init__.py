"""The commands, one module per verb, each with an object `command`.

Here: nothing but this text; `snapstore.cli.group` imports a module when its name is called. Not here: anything shared
between commands, which is in the modules beside this package.

Rules: a command reads its options, makes one or two calls of the public interface, prints what came back and returns
an exit code (None is 0). It raises errors and never catches them to print them. What people read goes to
`output.summary` or `output.line`, what programs read to `output.data`; both say the same.
"""
