"""Which questions of a run are still to be asked, under which identity. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joulebench_api.contracts.identity import query_id
from joulebench_api.contracts.meter import PlanReply, ResolvedTask
from joulebench_runner.config import Shard


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question of one epoch, in one attempt."""

    query_id: str
    attempt: int
    record_id: str
    epoch: int


def own_part(record_ids: Sequence[str], shard: Shard | None) -> Sequence[str]:
    """The records that a shard asks: of so many, each COUNT-th, so that every start of the shard has the same ones."""
    return record_ids if shard is None else record_ids[shard.index :: shard.count]


class QueryBook:
    """All questions of a driver by (record, epoch), and which of them are done."""

    def __init__(self, task: ResolvedTask, record_ids: Sequence[str]) -> None:
        """In the order of asking: all records of the first epoch, then of the next."""
        self._ids = {
            (record_id, epoch): query_id(
                task=task.name, dataset_revision=task.revision, record_id=record_id, epoch=epoch
            )
            for epoch in range(1, task.epochs + 1)
            for record_id in record_ids
        }
        self._finished: frozenset[str] = frozenset()
        self._attempts: dict[str, int] = {}

    @property
    def query_ids(self) -> list[str]:
        """The ids of all questions, in order."""
        return list(self._ids.values())

    def has(self, record_id: str) -> bool:
        """Whether its questions are asked here, and not by another shard."""
        return (record_id, 1) in self._ids

    def apply(self, reply: PlanReply) -> None:
        """Take over what the meter knows of earlier attempts."""
        self._finished = frozenset(reply.finished)
        self._attempts = dict(reply.attempts)

    def to_ask(self) -> Iterator[Query]:
        """The questions that are not finished."""
        for record_id, epoch in self._ids:
            if not self.is_finished(record_id, epoch):
                yield self.query(record_id, epoch)

    def is_finished(self, record_id: str, epoch: int) -> bool:
        """Whether an earlier attempt has answered it."""
        return self._ids[record_id, epoch] in self._finished

    def query(self, record_id: str, epoch: int) -> Query:
        """The question of a record and epoch."""
        identity = self._ids[record_id, epoch]
        return Query(query_id=identity, attempt=self._attempts.get(identity, 0), record_id=record_id, epoch=epoch)


class ErrorLimit:
    """When so many questions have failed that going on is a waste."""

    def __init__(
        self,
        limit: int | float | None,  # noqa: PYI041  # the two mean different things
        *,
        questions: int,
        errors: int = 0,
    ) -> None:
        """`limit`: a count (int) or a part of all questions (float); None: no limit. `errors`: of earlier attempts."""
        self._limit = limit
        self._questions = questions
        self.errors = errors

    def count(self) -> None:
        """One more question has failed."""
        self.errors += 1

    @property
    def exceeded(self) -> bool:
        """Whether more questions failed than allowed."""
        if self._limit is None:
            return False
        allowed = self._limit * self._questions if isinstance(self._limit, float) else self._limit
        return self.errors > allowed

    def __str__(self) -> str:
        shown = f"{self._limit:.0%}" if isinstance(self._limit, float) else str(self._limit)
        return f"{self.errors} of {self._questions} questions failed; maxErrors is {shown}"
