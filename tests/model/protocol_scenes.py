"""Which scenes are explored, and in which of them each deliberate mistake has to be found.

Here: scenes of a few seconds, larger ones that are asked for, and the table of mistakes. Not here: how they are run
(test_protocol_model.py), what was found (docs/design/014-model.md).

Rules: blobs are bits, so 3 is two blobs. Slots are counted through: packs that are there first, then those that each
process may put. A scene has the fewest processes in which what it is about can happen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from protocol_actors import CleanUp, Forget, Pruner, Repair, Replace, Writer
from protocol_world import Mistake, Scene

WRITER_AND_PRUNER: Final = Scene(
    name="a writer, a pruner, two blobs",
    packs=(1, 3),
    needs=(3, 1),
    reported=2,
    processes=(Writer("writer", (0,), (2, 3)), Pruner("pruner", 4, (0,))),
    pack_slots=5,
    condemn_slots=1,
)
TWO_WRITERS: Final = Scene(
    name="two writers, a pruner",
    packs=(1,),
    needs=(1, 1),
    processes=(Writer("writer 1", (0,), (1, 2)), Writer("writer 2", (1,), (3, 4)), Pruner("pruner", 5, (0,))),
    twins=((0, 1),),
    pack_slots=6,
    condemn_slots=1,
)
TWO_PRUNERS: Final = Scene(
    name="a writer, two pruners",
    packs=(1,),
    needs=(1,),
    processes=(Writer("writer", (0,), (1,)), Pruner("pruner 1", 2, (0,)), Pruner("pruner 2", 3, (1,))),
    twins=((1, 2),),
    pack_slots=4,
    condemn_slots=2,
)
TWO_PRUNERS_TWO_COPIES: Final = Scene(
    name="two pruners, a blob in two packs",
    packs=(1, 1),
    needs=(1,),
    reported=1,
    processes=(Pruner("pruner 1", 2, (0,)), Pruner("pruner 2", 3, (1,))),
    twins=((0, 1),),
    pack_slots=4,
    condemn_slots=2,
)
SOURCE_CHANGES: Final = Scene(
    name="a writer whose source changes, a pruner",
    packs=(1, 2),
    needs=(1, 3),
    processes=(Writer("writer", (0, 1), (2, 3)), Pruner("pruner", 4, (0,))),
    pack_slots=5,
    condemn_slots=1,
)
DEAD_PRUNER: Final = Scene(
    name="a writer, a pruner, what a dead pruner condemned",
    packs=(1, 2),
    needs=(3, 1),
    reported=2,
    dead=(3,),
    processes=(Writer("writer", (0,), (2, 3)), Pruner("pruner", 4, (1,))),
    pack_slots=5,
    condemn_slots=2,
)
FORGETTING: Final = Scene(
    name="a writer, a pruner, somebody who forgets",
    packs=(1, 2),
    needs=(3, 1, 2),
    reported=6,
    rosters=(7, 2, 6),
    processes=(Writer("writer", (0,), (2,)), Pruner("pruner", 3, (0,)), Forget("forget", 1)),
    pack_slots=4,
    condemn_slots=1,
)
UNFINISHED: Final = Scene(
    name="a writer, a pruner, a clean-up of unfinished manifests",
    packs=(1,),
    needs=(1,),
    processes=(Writer("writer", (0,), (1, 2)), Pruner("pruner", 3, (0,)), CleanUp("clean-up", 1)),
    side_by_side=False,
    pack_slots=4,
    condemn_slots=1,
)
REPAIRING: Final = Scene(
    name="forget, repair, a pruner",
    packs=(1,),
    needs=(1,),
    reported=1,
    processes=(Forget("forget", 0), Repair("repair", 0), Pruner("pruner", 1, (0,))),
    pack_slots=2,
    condemn_slots=1,
)

REPLACING: Final = Scene(
    name="a writer, a pruner, a repair that takes a damaged pack away",
    packs=(1,),
    needs=(1,),
    processes=(Writer("writer", (0,), (1,)), Pruner("pruner", 2, (0,)), Replace("repair", 0, 3, 1)),
    pack_slots=4,
    condemn_slots=2,
)
# With smaller condemn objects: as safe, if all that is looked at is looked at again after each of them.
WITHDRAWING: Final = Scene(
    name="a writer, a pruner that withdraws and looks again, two blobs",
    packs=(1, 3),
    needs=(3, 1),
    reported=2,
    processes=(Writer("writer", (0,), (2, 3)), Pruner("pruner", 4, (0, 1, 2), withdraws=True)),
    pack_slots=5,
    condemn_slots=3,
)
TWO_WITHDRAW: Final = Scene(
    name="two pruners that withdraw and look again, a blob in two packs",
    packs=(1, 1),
    needs=(1,),
    reported=1,
    processes=(
        Pruner("pruner 1", 2, (0, 1, 2), withdraws=True),
        Pruner("pruner 2", 3, (3, 4, 5), withdraws=True),
    ),
    twins=((0, 1),),
    pack_slots=4,
    condemn_slots=6,
)
# As the protocol was designed first: no look after withdrawing. Right where lists are atomic, and they are not.
WITHDRAWING_ONCE: Final = replace(
    TWO_WITHDRAW,
    name="two pruners that withdraw and do not look again, but atomic lists",
    mistakes=frozenset((Mistake.NO_LOOK_AFTER_WITHDRAWING,)),
    atomic_lists=True,
)

SCENES: Final = (
    WRITER_AND_PRUNER,
    TWO_WRITERS,
    TWO_PRUNERS,
    TWO_PRUNERS_TWO_COPIES,
    SOURCE_CHANGES,
    DEAD_PRUNER,
    FORGETTING,
    UNFINISHED,
    REPAIRING,
    REPLACING,
    WITHDRAWING,
    TWO_WITHDRAW,
    WITHDRAWING_ONCE,
)

LARGE_SCENES: Final = (
    Scene(
        name="a writer, two pruners, two blobs",
        packs=(1, 2),
        needs=(3, 1),
        reported=2,
        processes=(Writer("writer", (0,), (2,)), Pruner("pruner 1", 3, (0,)), Pruner("pruner 2", 4, (1,))),
        twins=((1, 2),),
        pack_slots=5,
        condemn_slots=2,
        any_plan=False,
    ),
    Scene(
        name="two writers, two pruners",
        packs=(1,),
        needs=(1, 1),
        processes=(
            Writer("writer 1", (0,), (1,)),
            Writer("writer 2", (1,), (2,)),
            Pruner("pruner 1", 3, (0,)),
            Pruner("pruner 2", 4, (1,)),
        ),
        twins=((0, 1), (2, 3)),
        pack_slots=5,
        condemn_slots=2,
        any_plan=False,
    ),
    Scene(
        name="a writer, two pruners, a clean-up, what a dead pruner condemned",
        packs=(1,),
        needs=(1,),
        dead=(1,),
        processes=(
            Writer("writer", (0,), (1,)),
            Pruner("pruner 1", 2, (1,)),
            Pruner("pruner 2", 3, (2,)),
            CleanUp("clean-up", 1),
        ),
        twins=((1, 2),),
        pack_slots=4,
        condemn_slots=3,
        side_by_side=False,
        any_plan=False,
    ),
)

MISTAKES: Final = {
    Mistake.WRITER_LISTS_PACKS_FIRST: WRITER_AND_PRUNER,
    Mistake.WRITER_REPORTS_BEFORE_OK: UNFINISHED,
    Mistake.WRITER_DOES_NOT_SEE_ITS_MANIFEST: UNFINISHED,
    Mistake.WRITER_DOES_NOT_LOOK: WRITER_AND_PRUNER,
    Mistake.NAMES_USED_AGAIN: TWO_PRUNERS,
    Mistake.ROOTS_BEFORE_CONDEMN: WRITER_AND_PRUNER,
    Mistake.PRUNER_LISTS_PACKS_FIRST: TWO_PRUNERS_TWO_COPIES,
    Mistake.ROOTS_SIDE_BY_SIDE: UNFINISHED,
    Mistake.ROOTS_OK_FIRST: UNFINISHED,
    Mistake.ROOTS_WITHOUT_OK: UNFINISHED,
    Mistake.OLD_BEFORE_SMALLER: WITHDRAWING_ONCE,
    Mistake.WITHDRAWS_WHAT_OTHERS_CONDEMN: TWO_PRUNERS_TWO_COPIES,
    Mistake.IGNORES_OTHERS: TWO_PRUNERS_TWO_COPIES,
    Mistake.NO_LOOK_AFTER_WITHDRAWING: WITHDRAWING,
    Mistake.CONDEMN_DELETED_FIRST: WRITER_AND_PRUNER,
    Mistake.WITHDRAWS_FOR_OTHERS: TWO_PRUNERS,
    Mistake.REPACKS_LAST: WRITER_AND_PRUNER,
    Mistake.MANIFEST_BEFORE_OK: REPAIRING,
    Mistake.RECORD_LAST: FORGETTING,
    Mistake.REPAIR_READS_OK_FIRST: REPAIRING,
    Mistake.REPLACES_WITHOUT_LOOKING: REPLACING,
    Mistake.NEVER_ADOPTS: DEAD_PRUNER,
}
