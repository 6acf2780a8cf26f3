"""A scoring job as tasks on a Dask cluster: a survey of the files, then their partitions."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NoReturn

from distributed import Client, Future, as_completed
from tqdm import tqdm

from clinical.coding import Evidence
from clinical.dialects import CANONICAL, UCI, Dialect
from clinical.errors import DataError
from steps.batch import partitions
from steps.batch.batches import Batch, Scored, score
from steps.batch.engine import Packed, carry
from steps.batch.inputs import File, Partition, divide
from steps.batch.job import Done, Job
from steps.runs.terminal import echo

AHEAD = 3
"""Tasks that are given out for each worker: one to work on, and some so that it never waits."""

Finished = Mapping[int, Mapping[str, int]]
"""What was counted in the parts that an earlier start has finished, by their numbers."""


def work(client: Client, job: Job) -> Done:
    """Score what is missing.

    Raises
    ------
    DataError
        With one line; what was finished until then is kept.
    """
    finished = job.parts.counts()
    batches = list(_survey(client, job, finished))
    if finished:
        echo(f"score: {len(finished)} of {len(batches)} parts were finished already")
    return _score(client, job, batches, finished)


def _survey(client: Client, job: Job, finished: Finished) -> Iterator[Batch]:
    """Recognise the coding of the files and count their rows, before any is scored."""
    divided = [divide(file) for file in job.files]
    every = [partition for parts in divided for partition in parts]
    unknown = [i for i, part in enumerate(every) if part.file.is_text and i not in finished]
    counting = client.map(partitions.count, [every[i] for i in unknown], pure=False)
    dialect = _recognise(client, divided)
    counted = dict(zip(unknown, client.gather(counting), strict=True))
    with_id, first = any(file.id_column for file in job.files), 1
    for i, partition in enumerate(every):
        if i and partition.file is not every[i - 1].file:
            first = 1
        if i in finished:
            rows = finished[i]["rows"]
        else:
            rows = counted[i] if i in counted else partitions.count(partition)
        yield Batch(partition, first, rows, dialect.name, with_id)
        first += rows


def _recognise(client: Client, divided: list[list[Partition]]) -> Dialect:
    """Recognise the one coding of all files; canonical where no cell and no label tells."""
    firsts = client.map(partitions.weigh_some, [parts[0] for parts in divided], pure=False)
    codings: dict[str, str] = {}
    for parts, first in zip(divided, client.gather(firsts), strict=True):
        evidence = first if first != Evidence() else _weigh_further(client, parts[1:])
        if dialect := _dialect(parts[0].file, evidence):
            codings.setdefault(dialect.name, parts[0].file.name)
    if len(codings) > 1:
        found = ", ".join(f"'{name}' is {coding}" for coding, name in codings.items())
        raise DataError(f"expected one coding in all files, found several: {found}")
    if not codings:
        echo("score: no code and no label tells UCI from canonical files: read as canonical")
    return UCI if UCI.name in codings else CANONICAL


def _weigh_further(client: Client, parts: list[Partition]) -> Evidence:
    """Look on until a partition tells; hardly ever needed, since most patients do."""
    for part in parts:
        evidence: Evidence = client.submit(partitions.weigh_some, part, pure=False).result()
        if evidence != Evidence():
            return evidence
    return Evidence()


def _dialect(file: File, evidence: Evidence) -> Dialect | None:
    label = file.label_coding
    if evidence.mixed or (label and evidence.dialect not in (None, label)):
        said = f"its label means {label.name} codes" if label else "expected one coding"
        raise DataError(
            f"'{file.name}': {said}, found {evidence.uci} cells with codes of UCI files alone "
            f"and {evidence.canonical} with canonical ones"
        )
    return label or evidence.dialect


def _score(client: Client, job: Job, batches: list[Batch], finished: Finished) -> Done:
    counts = sum((Counter(part) for part in finished.values()), Counter[str]())
    resumed, busy, started = counts["rows"], 0.0, time.perf_counter()
    missing = [(i, batch) for i, batch in enumerate(batches) if i not in finished]
    with _progress(resumed, sum(batch.rows for batch in batches)) as bar:
        for number, scored in _in_turn(client, job.packed, missing):
            job.parts.add(number, scored.part, scored.rejects, scored.counts)
            counts.update(scored.counts)
            busy += scored.seconds
            bar.update(scored.counts["rows"])
    return Done(counts, resumed, time.perf_counter() - started, busy)


def _in_turn(
    client: Client, packed: Packed, batches: Iterable[tuple[int, Batch]]
) -> Iterator[tuple[int, Scored]]:
    """Give out tasks and take results, never more at once than keep the workers busy.

    What a dead worker held, Dask does anew; the model is a task's result as well, so that it goes
    to each worker once, and comes back with it.
    """
    model = client.submit(carry, packed, pure=False)
    waiting = iter(batches)
    numbers: dict[Future, int] = {}

    def give_out(count: int) -> list[Future]:
        given = {
            client.submit(score, batch, model, pure=False): number
            for number, batch in islice(waiting, count)
        }
        numbers.update(given)
        return list(given)

    running = as_completed(give_out(AHEAD * max(1, len(client.nthreads()))), client.loop)
    for future in running:
        scored = future.result()
        yield numbers.pop(future), scored
        running.update(give_out(1))


def _progress(done: int, rows: int) -> tqdm[NoReturn]:
    """Return a progress bar in rows, on a terminal only."""
    return tqdm(
        desc="score", initial=done, total=rows, unit="row", unit_scale=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip
