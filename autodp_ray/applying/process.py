"""A strategy on a dataset without a search before it: read, processed, written and accounted for.

Killed at any moment, the same command goes on: rows that are read, teams that are done, and parts of the one under way
lie in a work folder beside the output until the output is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from actors.cache.cache_client import StrategyCacheClient
from actors.storage.folder_lock import folder_lock
from actors.storage.storage import Storage
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.engine import Work, carry_out, require_place, works_with_models
from autodp_ray.applying.input_rows import InputFiles, input_rows
from autodp_ray.applying.output_index import OutputIndex
from autodp_ray.applying.output_record import ClaimedOutput, OutputRecord
from autodp_ray.applying.process_config import processing_settings, require_models_named, teams_as_they_are
from autodp_ray.clock import RunClock
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.cluster.ray import Cluster, connected, require_lasting, require_shared, storage_locations
from autodp_ray.config.run_config import Config
from autodp_ray.preparation.input_rows import language_of
from autodp_ray.progress import Progress
from autodp_ray.records.dataset_files import find_files, would_read
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.output.output_files import require_format, stem_of
from autodp_ray.run_contents import LOCK
from autodp_ray.runs.services import require_endpoints
from autodp_ray.runs.settings import differences
from autodp_ray.strategy import Strategy
from operators.contract.digest import json_digest
from operators.contract.errors import InputError
from operators.contract.redaction import redacted, redacted_settings

_WORK = "autodp-work"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What a user says on the command line."""

    data: str
    strategy: str
    output: str
    config_path: str | None = None
    overrides: tuple[str, ...] = ()
    work: str | None = None
    """Where unfinished work lies; beside the output where none is named."""
    index: str | None = None
    """Of rows that were kept before: copies of them go, and what is kept joins them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """What is going to be done; everything that can be wrong with it without reading rows is checked."""

    config: Config
    strategy: Strategy
    target: Storage
    folder: Storage
    """Of the unfinished work, which is ours as a whole."""
    files: InputFiles
    made_of: Mapping[str, object]
    """All that the output is a function of."""
    output: ClaimedOutput
    index: OutputIndex | None
    clock: RunClock

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the work folder for this process, and the index.

        Raises: InputError where another process is at the same work, or adds to the index.
        """
        self.folder.make_private()
        busy = f"{self.target.shown} is being made by another process, which holds {self.folder.shown}; wait or stop it"
        with folder_lock(self.folder, LOCK, busy=busy), self.index.locked() if self.index else nullcontext():
            yield

    def record(self) -> OutputRecord | None:
        """What an earlier command noted of the output.

        Raises: InputError where something lies there that is not ours.
        """
        return self.output.record()

    def differences(self, record: OutputRecord) -> list[str]:
        """In what the output that is there was to be another one."""
        keys = differences(record.made_of, self.made_of)
        return sorted({"input" if key.startswith("input.") else key for key in keys})

    def is_done(self, record: OutputRecord) -> bool:
        """Whether the output is there, whole and of the same, and its rows are in the index."""
        is_whole = self.output.is_whole(record) and not self.differences(record)
        return is_whole and (self.index is None or self.index.holds(self.made_of))

    def require_unmoved(self, record: OutputRecord | None) -> None:
        """Raises: InputError where an output is gone whose rows the index knows, so that they would be forgotten."""
        is_there = record is not None and (record.applied is None or self.output.is_whole(record))
        if self.index is not None and not is_there:
            self.index.require_unmoved(self.made_of)


def process(options: ProcessOptions, *, progress: Progress) -> Applied:
    """Do what is asked for on the cluster there is or an own Ray; an output that is whole already stays as it is.

    Raises: InputError for what is wrong with the request or the data, EndpointError or RunError where work fails.
    """
    processing = prepare_processing(options)
    with processing.locked():
        record = processing.record()
        if record is not None and record.applied is not None and processing.is_done(record):
            progress.note(f"{processing.target.shown} is whole: the same command made it before")
            processing.folder.delete()
            return record.applied
        processing.require_unmoved(record)
        if changed := [] if record is None else processing.differences(record):
            progress.note(f"{processing.target.shown} is made anew: {', '.join(changed)} differ from before")
        with connected() as cluster:
            return carry_out_processing(processing, cluster=cluster, progress=progress)


def prepare_processing(options: ProcessOptions) -> Processing:
    """Check what is asked for; needs no Ray and reads no rows.

    Raises: InputError for options, settings, models, files or endpoints that are wrong.
    """
    clock = RunClock()
    settings = processing_settings(options.data, options.config_path, options.overrides)
    config = settings.config
    strategy = Strategy.parse(options.strategy, teams=config.teams.names)
    require_models_named(settings, strategy)
    for option, location in (("--output", options.output), ("--work", options.work), ("--index", options.index)):
        if location is not None:
            require_lasting(location, what=option)
    target = Storage.at(options.output)
    folder = _work_folder(target, options.work)
    files = find_files(resolved(config.dataset))
    _require_apart(target, options.data, files[0].name)
    require_format(target.place()[1], files[0].format)
    require_endpoints(config, strategy.teams, searches=False)
    found = InputFiles.of(files)
    output = ClaimedOutput(target)
    output.record()
    index = None
    if options.index is not None:
        index = OutputIndex.of(options.index, data=options.data, target=target, config=config, strategy=strategy)
    return Processing(
        config=config,
        strategy=strategy,
        target=target,
        folder=folder,
        files=found,
        made_of=_made_of(config, strategy, found, index),
        output=output,
        index=index,
        clock=clock,
    )


def carry_out_processing(processing: Processing, *, cluster: Cluster, progress: Progress) -> Applied:
    """Read, process and write, going on where an earlier attempt broke off; then the work folder goes.

    Raises: as `process` does.
    """
    config, folder = processing.config, processing.folder
    run_id = json_digest(processing.made_of)[:16]
    index = processing.index
    known = None if index is None else index.known(processing.made_of)
    work = Work(
        config=config,
        strategy=processing.strategy,
        target=processing.target,
        run_id=run_id,
        run=folder,
        memory=folder if config.storage is None else storage_locations(config.storage)[1],
        open_cache=partial(_own_cache, folder.folder("cache"), holder=run_id),
        clock=processing.clock,
        known_rows=known,
    )
    require_place(work, cluster)
    for storage in (processing.target, *([index.rows.folder] if index else [])):
        require_shared(storage, cluster)
    processing.output.claim(processing.made_of)
    source = input_rows(
        config.dataset,
        processing.files,
        work=folder,
        target=processing.target,
        pool=config.pool,
        for_models=works_with_models(config, processing.strategy),
        progress=progress,
    )
    language = language_of(config.dataset, source.dataset.batches(["answer"]))
    applied = carry_out(work, source, language=language, cluster=cluster, progress=progress)
    if index is not None and known is not None:
        added = index.add(known, processing.made_of)
        progress.note(f"the index knew {known.num_rows:,} rows; {added:,} of this output joined them")
    processing.output.close(processing.made_of, applied)
    folder.delete()
    return applied


@contextmanager
def _own_cache(storage: Storage, *, holder: str) -> Iterator[StrategyCacheClient]:
    """The work's own cache, in this process: nobody else wants what lies there."""
    client = StrategyCacheClient(storage, holder=holder)
    try:
        yield client
    finally:
        client.close()


def _work_folder(target: Storage, base: str | None) -> Storage:
    """A folder of this output's own, beside it or in the folder that is named for work."""
    place, name = target.place()
    if not name or (not target.is_local and "/" not in target.location.partition("?")[0].partition("://")[2]):
        raise InputError(f"--output {target.shown} is a whole bucket or disk; name a folder or file in it")
    if base is None:
        return place.folder(f".{name}.{_WORK}")
    return Storage.at(base).folder(f"{_WORK}-{name}-{sha256(redacted(target.location).encode()).hexdigest()[:8]}")


def _require_apart(target: Storage, data: str, like: str) -> None:
    """Raises: InputError for an output that the next command would read as input, written in files named like one."""
    made = [target, target.folder(f"data{like[len(stem_of(like)) :]}")]
    if any(would_read(data, each.path()) for each in made):
        raise InputError(
            f"--output {target.shown} is the input itself or lies in it and would be read as input the next time; "
            "name another folder or file"
        )


def _made_of(config: Config, strategy: Strategy, files: InputFiles, index: OutputIndex | None) -> Mapping[str, object]:
    """All that an output is a function of, as plain values without secrets; of an index, that it is one."""
    asked = needed_roles(config, strategy.teams, searches=False)
    models: dict[str, object] = {role: spec.model_dump(mode="json") for role, spec in asked.items()}
    models["tuned"] = config.models.tuned.model
    plain = {
        "strategy": str(strategy),
        "input": files.model_dump(mode="json"),
        "dataset": config.dataset.model_dump(mode="json", exclude={"path"}),
        "teams": teams_as_they_are(config, strategy),
        "models": models,
        "screener": config.screener.model_dump(mode="json"),
        "embedder": config.sampling.embedder,
    }
    if index is not None:
        plain["index"] = index.rows.folder.shown
    as_read_back: dict[str, object] = json.loads(json.dumps(redacted_settings(plain)))
    return as_read_back
