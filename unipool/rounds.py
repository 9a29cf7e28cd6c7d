"""The rounds of a training: updates, a validation, and the state is kept."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from unipool.batches import CropSampler
from unipool.ending import on_sigterm
from unipool.log import LoggedProgress
from unipool.trainee import Trainee
from unipool.validation import Validation

logger = logging.getLogger(__name__)


def train_in_rounds(
    trainee: Trainee,
    sampler: CropSampler,
    validation: Validation,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Update, validate and keep the state in turn, until all steps are done.

    The first validation is of the untrained backend. At SIGTERM the state is kept after
    the present update or validation, and the process ends.

    Args:
        trainee: at any step.
        sampler: of the batches.
        validation: after every ``validate_every`` updates and after the last.
        keep: is given the state.
    """
    training, world = trainee.training, trainee.world
    told, ending = threading.Event(), False
    bar = LoggedProgress(
        desc="train", unit="steps", total=training.steps, initial=trainee.step
    )
    with on_sigterm(told.set), bar:
        while not trainee.history or trainee.step < training.steps:
            started = time.monotonic()
            rounds_done = trainee.step // training.validate_every
            last = min((rounds_done + 1) * training.validate_every, training.steps)
            if not trainee.history:
                last = 0
            each = training.accumulate
            batches = sampler.batches(trainee.step * each, last * each)
            while trainee.step < last and not ending:
                loss = trainee.update(islice(batches, each))
                bar.set_postfix_str(
                    f"loss {loss:.3f}, lr {trainee.learning_rate:.1e}", False
                )
                bar.update()
                ending = any(world.gather(told.is_set()))
            if trainee.step == last:
                valid_eer = validation.eer(trainee.backend, trainee.device)
                trainee.add_validation(valid_eer)
                logger.info("step %d: validation EER %.2f %%", last, 100 * valid_eer)
            trainee.seconds += time.monotonic() - started
            if world.rank == 0:
                keep(trainee.state())
            ending = ending or any(world.gather(told.is_set()))
            if ending and trainee.step < training.steps:
                logger.error(
                    "error: told to end (SIGTERM) after step %d; its state is kept, and"
                    " the same training started again goes on from there",
                    trainee.step,
                )
                sys.exit(1)
