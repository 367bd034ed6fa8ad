"""What `underfoot simulate storm` does: the network, its city, registration, the run itself, and what is told of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from simulators.cli.telling import tell
from simulators.cli.terminal import authority, broker, err, out, stoppable
from simulators.cli.view import StormView
from simulators.network.generate import generate_network
from simulators.publisher import Publisher
from simulators.scenario.load import ScenarioFile, read_scenario
from simulators.speech import SPEECHES
from simulators.world.beside import LoadBeside, register_load
from simulators.world.books import Behind, Books, check_at_work
from simulators.world.folder import RunError, RunFolder
from simulators.world.load_job import LoadJob
from simulators.world.logins import read_logins
from simulators.world.now import Chronicle
from simulators.world.prepare import Say, World, prepare
from simulators.world.register import REGISTERED_PER_S, push_logins, register_city
from simulators.world.run import Watch, Ways, run_world
from simulators.world.span import DEFAULT_SPEED, Span
from simulators.world.written import write_messages
from underfoot.city_time import read_moment
from underfoot.clock import CLOCK
from underfoot.settings import Settings
from underfoot.settings import load as load_settings
from underfoot.terminal import actor, connect_migrated

DEMO_NODES = 240
_REGISTERED_BEFORE_S = 3.0


@dataclass(frozen=True)
class Options:
    """As they were given; None: not given."""

    network: Path | None
    mapping: Path | None
    scenario: str
    seed: int
    speed: float | None
    ends: str | None
    run: Path | None
    register: bool | None
    books: bool | None
    connections: int
    own_connections: bool
    credentials: Path | None
    rate_limit: float | None
    api: str | None
    patience_s: float
    dry_run: Path | None
    mqtt: str | None
    as_json: bool


def storm_through(options: Options) -> bool:
    """From the files to the verdict. True: all that was sent is where it belongs."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every push would tear the picture
    settings = load_settings()
    chosen = read_scenario(options.scenario)
    if options.credentials is not None and not options.own_connections:
        raise RunError("credentials: with --own-connections only; else put the account into --mqtt")
    inp, mapping = _network(options, settings)
    named = f"{chosen.scenario.name}-{inp.stem}-{options.seed}"
    folder = RunFolder(settings.home / "runs" / named if options.run is None else options.run)
    ways = Ways("")
    if options.dry_run is None:
        ways = _ways(options, settings)
        _check_broker(ways)
        if _compares(options, settings):
            check_at_work(settings.require_database())
    with ExitStack() as stack:
        with _preparing() as (say, show):
            world = prepare(chosen, inp, mapping, options.seed, _span(chosen, options), folder, say, show)
            if options.dry_run is not None:
                _write(world, options.dry_run, options.as_json)
                return True
            _wait_to_register(world)
            ways = _registered(world, ways, options, settings, say)
            load = _load(world, ways, options, settings, say, stack)
            books = None
            if _compares(options, settings):
                devices = [site.device.device_id for site in world.city.sites]
                books = stack.enter_context(closing(Books(settings.require_database(), devices)))
            if load is not None:
                load.wait_ready()
            world.span = _span(chosen, options)  # what was prepared meanwhile took its time
            if books is not None:
                books.check_room(world.span.begins_ms)
            say("记录真值 · writing the truth")
            truth = world.truth()
            truth.save(folder.truth)
            folder.write_json(folder.run, world.description())
        err.print(Text(f"运行目录 run  {folder.path}"), soft_wrap=True)
        stop = stack.enter_context(stoppable())  # before that, Ctrl-C leaves nothing worth an account
        view = stack.enter_context(StormView(err, world, Chronicle(world.hydrographs, truth), _Looks(books).look))
        ended = run_world(world, ways, books, Watch(stop, view.show, view.settle), options.patience_s, load)
    tell(ended, folder, options.as_json)
    return ended.well


def _ways(options: Options, settings: Settings) -> Ways:
    return Ways(
        mqtt_url=broker(options.mqtt),
        authority=authority(),
        connections=options.connections,
        own_connections=options.own_connections,
        logins={} if options.credentials is None else read_logins(options.credentials),
        rate_limit=options.rate_limit,
        api_url=options.api or settings.api_url,
    )


def _check_broker(ways: Ways) -> None:
    """Better said before the water is computed than after."""
    if not ways.own_connections:
        with closing(Publisher(ways.mqtt_url, connections=1, name="look", authority=ways.authority)) as publisher:
            publisher.open()


def _wait_to_register(world: World) -> None:
    """In lapsed time, until shortly before the run begins: while all wait for it a quarter of an hour may pass there,
    and who is registered and says nothing for so long is missed."""
    if CLOCK.lapse is not None:
        takes_s = len(world.city.sites) / REGISTERED_PER_S + _REGISTERED_BEFORE_S
        time.sleep(max(world.span.wait_s(time.time_ns() // 1_000_000) - takes_s, 0.0))


def _registered(world: World, ways: Ways, options: Options, settings: Settings, say: Say) -> Ways:
    if not _registers(options, settings):
        if pushed := [site.speech for site in world.city.sites if SPEECHES[site.speech].push]:
            raise RunError(
                f"{len(pushed)} devices are pushed over HTTP ({', '.join(sorted(set(pushed)))}): their accounts are"
                " opened with --register, which needs the database"
            )
        return ways
    say("登记部件、设备与管段 · registering the city")
    with closing(connect_migrated("simulate")) as connection:
        register_city(connection, world.city, world.folder, actor())
        return replace(ways, push_logins=push_logins(connection, world.city, actor()))


def _registers(options: Options, settings: Settings) -> bool:
    return settings.database_url is not None if options.register is None else options.register


def _load(
    world: World, ways: Ways, options: Options, settings: Settings, say: Say, stack: ExitStack
) -> LoadBeside | None:
    asked = world.scenario.load
    if asked is None:
        return None
    job = LoadJob(
        mqtt_url=ways.mqtt_url,
        authority=ways.authority,
        registry=asked.registry,
        without=frozenset(site.device.district for site in world.city.sites),
        seed=world.seed,
        rate=asked.rate,
        seconds=world.span.real_s,
    )
    load = stack.enter_context(closing(LoadBeside(job)))
    if _registers(options, settings):
        say(f"登记 {asked.registry:,} 台背景设备 · registering the load's devices")
        with closing(connect_migrated("simulate")) as connection:
            register_load(connection, job, world.folder.load_ledger, actor())
    return load


def _compares(options: Options, settings: Settings) -> bool:
    return settings.database_url is not None if options.books is None else options.books


def _network(options: Options, settings: Settings) -> tuple[Path, Path | None]:
    """The network's file and its mapping's; the demo city's where none is named."""
    network, mapping = options.network, options.mapping
    if network is None:
        if mapping is not None:
            raise RunError("mapping: is of a network; name it with --network")
        folder = settings.home / "networks"
        folder.mkdir(parents=True, exist_ok=True)
        network = folder / f"demo-{DEMO_NODES}-{options.seed}.inp"
        generate_network(network, style="demo", nodes=DEMO_NODES, seed=options.seed)
    beside = network.with_suffix(".yaml")
    return network, mapping if mapping is not None else beside if beside.is_file() else None


def _span(chosen: ScenarioFile, options: Options) -> Span:
    """When the run is: to the present, to a moment that was named, or as the installation's time lapses."""
    seconds = chosen.scenario.hours * 3600
    ends, lapse = options.ends, CLOCK.lapse
    if lapse is not None:
        if options.speed not in (None, lapse.speed) or ends is not None:
            raise RunError(f"speed, ends: this installation lives in lapsed time, {lapse}: both follow from it")
        return Span(seconds, lapse.speed, lapse.until_us // 1000)
    speed = DEFAULT_SPEED if options.speed is None else options.speed
    if ends is None:
        return Span.ending_at_the_present(seconds, speed, time.time_ns() // 1_000_000)
    try:
        moment = read_moment(ends)
    except ValueError as error:
        raise RunError(f"ends: {error}") from None
    return Span(seconds, speed, round(moment.timestamp() * 1000))


def _write(world: World, file: Path, as_json: bool) -> None:
    world.truth().save(world.folder.truth)
    world.folder.write_json(world.folder.run, world.description())
    done = write_messages(world.messages(), file)
    if as_json:
        typer.echo(json.dumps({"messages": done.messages, "digest": done.digest, "run": str(world.folder.path)}))
    else:
        out.print(Text(f"{file}: {done.messages:,} 条报文，摘要 {done.digest}"), soft_wrap=True)


class _Looks:
    """How far ingest is, asked for at most every second."""

    def __init__(self, books: Books | None) -> None:
        self._books = books
        self._at = 0.0
        self._behind: Behind | None = None

    def look(self) -> Behind | None:
        if self._books is not None and time.monotonic() - self._at > 1:
            self._at = time.monotonic()
            self._behind = self._books.behind()
        return self._behind


@contextmanager
def _preparing() -> Iterator[tuple[Say, Callable[[float], None]]]:
    """A line for each step; a bar for the one that takes long."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar: list[TaskID] = []

        def say(text: str) -> None:
            for task in bar:
                progress.remove_task(task)
            bar.clear()
            progress.console.print(Text(f"{text} …"), soft_wrap=True)

        def show(share: float) -> None:
            if not bar:
                bar.append(progress.add_task("EPA SWMM", total=1.0))
            progress.update(bar[0], completed=share)

        yield say, show
