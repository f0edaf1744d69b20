"""Dynamic batching: one thread steps the model, requests join its batch as soon as there is room.

Knows threads and futures; no HTTP and no Ray. A fault of the model goes to every request that was in the batch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future

from actors.cpu_engine.batch import DecodingBatch
from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.row import ActiveRequest, GenerationReply

logger = logging.getLogger(__name__)


class Batcher:
    """Runs an engine in a thread of its own; `submit` may be called from any thread."""

    def __init__(self, engine: TransformersEngine, *, batch_wait_s: float) -> None:
        self._engine = engine
        self._batch_wait_s = batch_wait_s
        self._waiting: deque[ActiveRequest] = deque()
        self._futures: dict[ActiveRequest, Future[GenerationReply]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="llm-batcher", daemon=True)
        self._thread.start()

    def submit(self, row: ActiveRequest) -> Future[GenerationReply]:
        """The row's reply to come; cancelling the future takes the row out of the batch."""
        future: Future[GenerationReply] = Future()
        with self._changed:
            if not self.is_alive():
                raise RuntimeError("the batcher is closed")
            self._futures[row] = future
            self._waiting.append(row)
            self._changed.notify()
        return future

    def is_alive(self) -> bool:
        """Whether requests are still being served."""
        return not self._closed and self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread after its current step; what is unfinished is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for future in self._futures.values():
            future.cancel()

    def _run(self) -> None:
        batch = self._engine.new_batch()
        while (rows := self._next_rows(batch)) is not None:
            try:
                finished = batch.admit(rows) if rows else []
                finished += batch.step() if len(batch) else []
            except Exception as error:  # whatever it is, it belongs to those who wait for these rows
                logger.exception("the model failed on a batch of %d rows", len(batch))
                self._fail(error)
                batch = self._engine.new_batch()
                continue
            self._deliver(finished)

    def _next_rows(self, batch: DecodingBatch) -> list[ActiveRequest] | None:
        """Rows that have room in the batch; waits while there is nothing at all to do; None once closed."""
        with self._changed:
            if not len(batch):
                self._changed.wait_for(lambda: self._waiting or self._closed)
                self._wait_for_more()
            if self._closed:
                return None
            for row, future in self._futures.items():
                if future.cancelled():
                    row.cancel()
            room = self._engine.room(batch, num_waiting=len(self._waiting))
            rows = [self._waiting.popleft() for _ in range(room)]
            kept = [row for row in rows if row.finish_reason is None]
            self._forget([row for row in rows if row.finish_reason is not None])
            return kept

    def _wait_for_more(self) -> None:
        deadline = time.monotonic() + self._batch_wait_s
        self._changed.wait_for(
            lambda: len(self._waiting) >= self._engine.max_batch_size or self._closed,
            timeout=max(0.0, deadline - time.monotonic()),
        )

    def _deliver(self, finished: list[ActiveRequest]) -> None:
        for row, future in self._forget(finished):
            if future.set_running_or_notify_cancel():
                future.set_result(row.reply())

    def _fail(self, error: Exception) -> None:
        with self._changed:
            running = [row for row in self._futures if row not in self._waiting]
        for _, future in self._forget(running):
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _forget(self, rows: list[ActiveRequest]) -> list[tuple[ActiveRequest, Future[GenerationReply]]]:
        with self._changed:
            return [(row, self._futures.pop(row)) for row in rows]
