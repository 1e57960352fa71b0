"""The next batch, made while a GPU learns from this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from deepstorm.training.examples.protocol import TRAINING, Batch, ExampleSource


class ExamplesAhead:
    """A source of examples whose next training batch is made in the background.

    A batch depends on its step alone, so that what is learnt is the same. On a processor both would
    wait for the same cores; making a batch is 2 % of a step there.

    Parameters
    ----------
    source : ExampleSource
    """

    def __init__(self, source: ExampleSource) -> None:
        self._source = source
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="examples")
        self._next: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Return the batch of a step, and begin to make the one after it."""
        if stream != TRAINING:
            return self._source.batch(step, stream)
        made = self._next
        this = self._begun(step) if made is None or made[0] != step else made[1]
        batch = this.result()
        self._next = (step + 1, self._begun(step + 1))
        return batch

    def _begun(self, step: int) -> Future[Batch]:
        return self._worker.submit(self._source.batch, step)
