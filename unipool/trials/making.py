"""Make a balanced trial list of one's own."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from unipool.trials.listing import COLUMNS
from unipool.trials.nontargets import draw_nontargets
from unipool.trials.targets import draw_targets
from unipool.trials.units import sort_into_units

SESSION = "session"


def make_trials(
    rows: pd.DataFrame,
    *,
    num_targets: int,
    num_nontargets: int | None = None,
    seed: int,
    balance: Sequence[str] = (),
    same_session: float | str = 0.0,
    rounding: str = "exact",
) -> pd.DataFrame:
    """Draw target and non-target trials, each pair of utterances at most once.

    Targets are shared equally by the speakers. Non-targets are shared equally by cells,
    the patterns of ``balance`` values that the two sides share or not (two columns make
    four cells), and in each cell by pairs of speakers. Where a value varies within a
    speaker, pairs of (speaker, values) take their place, and the speaker's targets are
    shared by pattern too. Who has fewer pairs of utterances than its share gives all,
    and the others make up for it; a cell that has too few is an error. The order of the
    rows does not matter.

    Args:
        rows: of the manifest, one split.
        num_targets: target trials to make.
        num_nontargets: non-target trials to make; None for as many.
        seed: of the choice.
        balance: names of metadata; none makes one cell.
        same_session: the share of each speaker's target trials that are of one
            session; where there are too few of either kind, the other makes up for it,
            which is logged. ``any`` does not look at sessions. An empty session counts
            as one session. Without effect where there is no metadata ``session``.
        rounding: ``exact``, or ``up``: each speaker and, in a cell, each pair of
            speakers gives the same number, rounded up, as published lists have it.

    Returns:
        enrolment, test, target; targets first, by speaker.

    Raises:
        ValueError: when there are not enough pairs, it says how many there are; when
            a name is no metadata, or a value to balance is empty.
    """
    looked_at = same_session != "any" and SESSION in rows
    if isinstance(same_session, float | int) and same_session and not looked_at:
        raise ValueError(
            f"same_session: {same_session} needs metadata {SESSION} in the manifest;"
            " set it to any"
        )
    generator = np.random.default_rng(seed)
    units = sort_into_units(rows, balance, SESSION if looked_at else None)
    targets = draw_targets(
        units,
        num_targets,
        # Not looked at, all utterances are of one session.
        same_session=float(same_session) if looked_at else 1.0,
        generator=generator,
        rounding=rounding,
    )
    nontargets = draw_nontargets(
        units,
        balance,
        num_targets if num_nontargets is None else num_nontargets,
        generator=generator,
        rounding=rounding,
    )
    return pd.concat(
        [
            pd.DataFrame(
                dict(
                    zip(
                        COLUMNS,
                        (units.utterances[first], units.utterances[second], target),
                        strict=True,
                    )
                )
            )
            for target, (first, second) in ((1, targets), (0, nontargets))
        ],
        ignore_index=True,
    )
