"""The text that lies beside every repository, for whoever finds the medium.

Here: the text. Not here: anything else. No program reads it back.
"""

from __future__ import annotations

from typing import Final

README_TEXT: Final = """\
This folder is a snapstore repository: encrypted backups.

It cannot be read without the secret of the person or business it belongs to. If you found this medium, please give it
back to its owner; without the secret it is of no use to anybody.

If it is yours: do not rename, move or delete anything in here. To restore, install the program that made the
backup, or Python 3.11 or later and then

    pip install "snapstore[cli]"
    snapstore -r THIS_FOLDER list
    snapstore -r THIS_FOLDER restore latest --to SOME_EMPTY_FOLDER

and type the secret when you are asked for it. Nothing else is needed, on any computer. The format is documented in
the source of snapstore, in docs/format.

--

Ce dossier est un dépôt snapstore : des sauvegardes chiffrées, illisibles sans le secret de leur propriétaire. Si vous
avez trouvé ce support, merci de le lui rendre. S'il est à vous : ne modifiez rien ici ; installez le programme qui a
fait la sauvegarde, ou les commandes ci-dessus, et tapez votre secret.
"""
