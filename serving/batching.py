"""Put requests that arrive while a batch runs into the next batch."""

import asyncio
import collections
import dataclasses

import numpy as np

from serving.errors import Busy


@dataclasses.dataclass
class _Request:
    arrays: dict
    rows: int
    answer: asyncio.Future


class Batcher:
    """Calls a function with all requests that arrived during its last call.

    No timer delays requests: one that comes alone runs at once. A large request runs in parts, and
    other requests run between them. A part does not run if its client is gone. If a batch fails,
    its requests run again one at a time, so that a bad request does not spoil the other answers.

    Args:
        function: Takes and returns a dict of arrays; it may block.
        executor: Runs the function outside the event loop.
        max_rows: Maximum rows in a batch; `None` for a function whose arrays are not all
            `(rows, ...)`, which is called with one request at a time.
        part_rows: Maximum rows in a part of a large request.
        max_waiting: Maximum rows that wait.
        on_batch: Called with the number of rows of each batch.
    """

    def __init__(
        self, function, executor, max_rows, part_rows, max_waiting, on_batch=lambda rows: None
    ):
        self._function = function
        self._executor = executor
        self._max_rows = max_rows
        self._part_rows = part_rows
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._waiting = collections.deque()
        self._is_busy = False
        self.rows_waiting = 0

    async def __call__(self, arrays):
        """Answer one request.

        Args:
            arrays: The inputs by name.

        Returns:
            The outputs by name.

        Raises:
            Busy: If too many rows wait already.
        """
        rows = max((len(array) for array in arrays.values() if array.ndim), default=1)
        if self._waiting and self.rows_waiting + rows > self._max_waiting:
            raise Busy(f"{self.rows_waiting} rows wait already; try again later")
        if self._max_rows is None or rows <= self._part_rows:
            return await self._queue(arrays, rows)
        parts = []
        for start in range(0, rows, self._part_rows):
            part = {name: a[start : start + self._part_rows] for name, a in arrays.items()}
            parts.append(await self._queue(part, min(self._part_rows, rows - start)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _queue(self, arrays, rows):
        """Queue a request or a part of one, and return a future of its answer."""
        request = _Request(arrays, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self.rows_waiting += rows
        if not self._is_busy:
            self._is_busy = True
            # After the other callbacks, so that requests that came at the same time join the batch.
            asyncio.get_running_loop().call_soon(self._start)
        return request.answer

    def _start(self):
        """Start the next batch."""
        batch, rows = [], 0
        max_rows = self._max_rows or 0  # The first request always runs.
        while self._waiting and (not batch or rows + self._waiting[0].rows <= max_rows):
            request = self._waiting.popleft()
            self.rows_waiting -= request.rows
            if not request.answer.done():  # It is done if the client is gone.
                batch.append(request)
                rows += request.rows
        if not batch:
            self._is_busy = False
            return
        self._on_batch(rows)
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._answer, batch)
        done.add_done_callback(lambda done: self._finish(batch, done))

    def _answer(self, batch):
        """One answer or exception for each request of a batch; runs in the executor."""
        if len(batch) > 1:
            answers = _outcome(self._answer_together, batch)
            if not isinstance(answers, Exception):
                return answers
        return [_outcome(self._function, request.arrays) for request in batch]

    def _answer_together(self, batch):
        """Answer several requests by one call, which must return a row for each row."""
        names = batch[0].arrays
        outputs = self._function(
            {name: np.concatenate([request.arrays[name] for request in batch]) for name in names}
        )
        ends = np.cumsum([request.rows for request in batch])
        if any(output.shape[:1] != (ends[-1],) for output in outputs.values()):
            raise ValueError("expected a row of each output for each row of the inputs")
        return [
            {name: output[end - request.rows : end] for name, output in outputs.items()}
            for request, end in zip(batch, ends, strict=True)
        ]

    def _finish(self, batch, done):
        if done.cancelled():
            answers = [Busy("the server is stopping; try again later")] * len(batch)
        elif error := done.exception():  # A bug in this module.
            answers = [error] * len(batch)
        else:
            answers = done.result()
        for request, answer in zip(batch, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, Exception):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        self._start()


def _outcome(function, argument):
    try:
        return function(argument)
    except Exception as error:
        return error
