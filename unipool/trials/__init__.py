"""The trial list: what is compared with what, a CSV file and its companion.

``{trials}.csv``, one row for each trial:

enrolment   id of an utterance, or name of a model
test        id of an utterance of the same split of the same corpus
target      1 when both are of one speaker, else 0
...         any further columns are conditions, kept as text

``{trials}.enrolments.csv``, one row for each utterance of each model:

enrolment   name of the model, no utterance's id
utterance   id of one of its utterances

UTF-8, with a header. The companion is always there; it has no rows where each enrolment
is an utterance. docs/trials.md is the specification.
"""

from unipool.trials.conditions import add_conditions, same_values
from unipool.trials.listing import (
    COLUMNS,
    TrialList,
    companion,
    no_models,
    read_trial_list,
    read_trials,
    write_trials,
)
from unipool.trials.making import make_trials
from unipool.trials.published import HEADER, LABELS, read_published
from unipool.trials.takeover import take_over_trials

__all__ = [
    "COLUMNS",
    "HEADER",
    "LABELS",
    "TrialList",
    "add_conditions",
    "companion",
    "make_trials",
    "no_models",
    "read_published",
    "read_trial_list",
    "read_trials",
    "same_values",
    "take_over_trials",
    "write_trials",
]
