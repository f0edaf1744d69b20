"""Which run is meant: from what a user says to a config, a folder and where the cache lies. Starts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from actors.storage.storage import Storage
from autodp_ray.cluster.ray import require_lasting, storage_locations
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.result import RunResult
from autodp_ray.runs.folder import RunFolder
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user says on the command line."""

    config_path: str | None = None
    overrides: tuple[str, ...] = ()
    run_dir: str | None = None
    resume: str | None = None
    fresh: bool = False
    strategies: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that may start or go on: its config, its folder and where the cache lies."""

    config: Config
    config_path: str | None
    folder: RunFolder
    cache_storage: Storage
    strategies: str | None
    fresh: bool
    overrides: tuple[str, ...] = ()
    """What `--set` changed in the config file."""

    def finished_result(self) -> RunResult | None:
        """The result of the same run where it is done already. Call it under the folder's lock.

        Raises: InputError where the folder holds a run of another config.
        """
        if self.fresh:
            self.folder.clear()
        self.folder.open(
            self.config,
            config_path=self.config_path,
            overrides=self.overrides,
            strategies=self.strategies,
            cache=self.cache_storage,
        )
        result = self.folder.result()
        return result if result is not None and result.status == "done" else None


def open_run(options: RunOptions) -> OpenRun:
    """The run that the options mean; nothing is written yet.

    Raises: InputError for options, configs or folders that are wrong.
    """
    if options.resume is not None:
        return _reopened(options.resume, options)
    if options.config_path is None:
        raise InputError("say which run: autodp run CONFIG, or autodp run --resume RUN_DIR")
    config = load_config(options.config_path, options.overrides)
    if options.run_dir is not None:
        require_lasting(options.run_dir)
    runs, cache = storage_locations(config.storage)
    config.scoring(options.strategies)  # a wrong one is told before anything is written
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    location = runs.folder(name) if options.run_dir is None else Storage.at(options.run_dir)
    return OpenRun(
        config=config,
        config_path=options.config_path,
        folder=RunFolder(location),
        cache_storage=cache,
        strategies=options.strategies,
        fresh=options.fresh,
        overrides=options.overrides,
    )


def _reopened(run_dir: str, options: RunOptions) -> OpenRun:
    if options.config_path or options.overrides or options.run_dir or options.fresh or options.strategies:
        raise InputError("--resume takes the settings of the run that it goes on with; leave the others out")
    folder = RunFolder(Storage.at(run_dir))
    folder.require_run()
    config = folder.config()
    require_lasting(run_dir)
    return OpenRun(
        config=config,
        config_path=folder.config_path(),
        folder=folder,
        cache_storage=folder.cache_storage(config),
        strategies=folder.given_strategies(),
        fresh=False,
        overrides=folder.overrides(),
    )
