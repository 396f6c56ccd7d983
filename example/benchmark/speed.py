"""Measures how fast engines run the same networks: in turns, each engine in processes of its own.

    python example/benchmark/speed.py [--quick] [--networks N ...] [--engines E ...] [--batches B ...] [--page FILE]

Every engine takes a turn in every round, A B C A B C, and warms up at the start of every turn. What counts is how many
times as long as mxq an engine takes in the same round: the median over the rounds, with the quartiles in brackets.
Above 1, mxq is faster. What is measured is kept in the JSON file: a run that was ended goes on where it was.
"""

import argparse
import functools
import itertools
import logging
import os
import subprocess
import sys
import time
from typing import Dict, List, NamedTuple, Tuple

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.dirname(HERE), REPO]

import command_line  # noqa: E402
import layer_page  # noqa: E402
import layer_times  # noqa: E402
import networks  # noqa: E402
import speed_page  # noqa: E402
from engines import ENGINES  # noqa: E402
from processes import EngineError, Prepared, Process, size_of  # noqa: E402
from results import Results  # noqa: E402

_log = logging.getLogger("benchmark")
DEFAULT_ENGINES = "mxq mxq-plain float float-fused contrib ort openvino openvino-performance".split()
#: Engines whose start is measured too: the others run the same files in the same way.
STARTED = "mxq float contrib ort openvino".split()
#: The slowest, which is measured with single images only unless every combination is asked for.
SINGLE = ("float",)


#: What keeps a processor busy.
NEIGHBOUR = "while True: pass"
P99 = "99th percentile"


class Scenario(NamedTuple):
    """How a network is run."""

    batch: int
    threads: int
    processes: int = 1
    neighbours: int = 0

    def __str__(self) -> str:
        how = f"{self.processes} processes of " if self.processes > 1 else ""
        beside = f", {self.neighbours} busy neighbour{'s'[: self.neighbours > 1]}" if self.neighbours else ""
        return f"batch {self.batch}, {how}{self.threads} thread{'s'[: self.threads > 1]}{beside}"

    @property
    def tables(self) -> List[str]:
        """Names of what is shown of it."""
        return [str(self), f"{self}, {P99}"] if self.neighbours else [str(self)]


class Players:
    """The processes of one number of threads and processes, started when first needed and kept for the next network."""

    def __init__(
        self, threads: int, processes: int, prepared: Prepared, *, priority: bool = False, neighbours: int = 0
    ):
        self.threads, self.prepared = threads, prepared
        self.priority = priority and not neighbours  # which share the processors with the engines
        self._neighbours = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(neighbours)]
        available = sorted(os.sched_getaffinity(0))
        self._processors = [available[i % len(available)] for i in range(processes)] if processes > 1 else [None]
        self._processes: Dict[str, List[Process]] = {}

    def load(self, engine: str, network: dict, batch: int) -> None:
        """Loads a network; an engine that cannot is stopped, and started anew for the next."""
        folder = self.prepared(engine, network)["folder"]
        if engine not in self._processes:
            log = self.prepared.log(engine)
            self._processes[engine] = [
                Process(engine, self.threads, log, processor, priority=self.priority) for processor in self._processors
            ]
        try:
            for process in self._processes[engine]:
                process.load(network, folder, batch)
        except EngineError:
            self.stop(engine)
            raise

    def turn(self, engine: str, seconds: float) -> Tuple[float, float]:
        """Seconds for one batch, all processes together; beside neighbours their mean and 99th percentile."""
        processes = self._processes[engine]
        for process in processes:
            process.send("turn", seconds=seconds)
        answers = [process.receive() for process in processes]
        together = 1 / sum(1 / answer["mean"] for answer in answers)
        alone = len(answers) == 1 and not self._neighbours
        return answers[0]["median"] if alone else together, max(answer["p99"] for answer in answers)

    def stop(self, engine: str) -> None:
        for process in self._processes.pop(engine, []):
            process.close()

    def __enter__(self) -> "Players":
        return self

    def __exit__(self, *exc) -> None:
        for engine in list(self._processes):
            self.stop(engine)
        for process in self._neighbours:
            process.kill()
            process.wait()


def play(engines: List[str], network: dict, batch: int, players: Players, options) -> dict:
    """One network in one scenario: engine -> milliseconds for a batch, by round; or why not."""
    times: Dict[str, List[float]] = {}
    p99: Dict[str, List[float]] = {}
    failed: Dict[str, str] = {}
    for engine in engines:
        try:
            players.load(engine, network, batch)
            times[engine], p99[engine] = [], []
        except EngineError as error:
            failed[engine] = str(error)
            _log.warning("%s", error)
    for number in range(options.rounds):
        for engine in list(times)[:: 1 if number % 2 == 0 else -1]:
            try:
                for found, seconds in zip((times, p99), players.turn(engine, options.seconds)):
                    found[engine].append(1e3 * seconds)
            except EngineError as error:
                del times[engine], p99[engine]
                players.stop(engine)
                failed[engine] = str(error)
                _log.warning("%s", error)
    return {"ms": times, "p99": p99, "failed": failed}


def start(engine: str, network: dict, prepared: Prepared, options) -> dict:
    """Starts an engine anew, several times: seconds and memory from the files to the first result."""
    folder = prepared(engine, network)["folder"]
    found = []
    for _ in range(options.starts):
        with Process(engine, max(options.threads), prepared.log(engine), priority=options.priority) as process:
            imported = process.ask("versions")["imported"]
            loaded = process.load(network, folder, 1)
        rss = loaded["after"]["rss"] - loaded["before"]["rss"]
        peak = loaded["after"]["peak"] - loaded["before"]["rss"]
        found.append((imported, loaded["load"], loaded["first"], rss / 1e6, peak / 1e6, loaded["after"]["peak"] / 1e6))
    names = ("import_s", "load_s", "first_s", "resident_mb", "peak_mb", "process_mb")
    middle = {name: sorted(values)[len(values) // 2] for name, values in zip(names, zip(*found))}
    return {**middle, "files_mb": size_of(folder) / 1e6}


def scenarios(options) -> List[Scenario]:
    """The most telling first: all threads, then fewer, then several processes of one thread."""
    batches, most = options.batches, max(options.threads)
    found = [Scenario(batch, most) for batch in batches]
    found += [Scenario(b, t) for t in options.threads if t != most for b in (batches if options.all else batches[:1])]
    if options.processes > 1:
        found += [Scenario(batch, 1, options.processes) for batch in (batches if options.all else batches[:1])]
    return found + [Scenario(batches[0], most, neighbours=number) for number in options.neighbours]


def run(options) -> Results:
    prepared = Prepared(options.work, options.calib_images, max(options.threads))
    engines = command_line.usable(options.engines, prepared)
    about = command_line.about(
        engines,
        prepared,
        max(options.threads),
        rounds=options.rounds,
        seconds=options.seconds,
        scenarios=[table for scenario in scenarios(options) for table in scenario.tables],
    )
    results = Results(options.json, about, fresh=options.fresh)
    began = time.time()
    descriptions = command_line.networks_of(options)
    about["networks"] = [{"name": n["name"], "label": n["label"]} for n in descriptions]
    conditions = {key: about[key] for key in ("machine", "rounds", "seconds", "versions", "engines")}
    for (threads, processes, neighbours), group in itertools.groupby(scenarios(options), lambda s: s[1:]):
        group = list(group)
        with Players(threads, processes, prepared, priority=options.priority, neighbours=neighbours) as players:
            for network, scenario in itertools.product(descriptions, group):
                if scenario.batch not in networks.batches_of(network, options.batches):
                    continue
                playing = [e for e in engines if options.all or scenario.batch == 1 or e not in SINGLE]
                measuring = functools.partial(play, playing, network, scenario.batch, players, options)
                found = results.measured(f"{network['name']}/{scenario}", conditions, measuring)
                for table, key in zip(scenario.tables, ("ms", "p99")):
                    shown = {**found, "ms": found[key]}
                    results.measured(f"{network['name']}/{table}", conditions, lambda shown=shown: shown)
                    print(f"\n{network['label']}, {table} ({time.time() - began:.0f} s)", flush=True)
                    print(speed_page.scenario_table(shown, about["labels"]), flush=True)
    for network in descriptions if options.starts else []:
        measure_starts(network, [e for e in STARTED if e in engines], results, prepared, options)
        print(f"\n{network['label']} ({time.time() - began:.0f} s)", flush=True)
        print(speed_page.start_table(results, network["name"], about["labels"]), flush=True)
    if options.layers and "mxq" in engines:
        measure_layers(descriptions, results, prepared, options)
    results.save()
    return results


def measure_starts(network: dict, engines: List[str], results: Results, prepared: Prepared, options) -> None:
    for engine in engines:
        conditions = {key: results.about[key] for key in ("machine", "versions")}
        conditions["starts"] = options.starts
        measuring = functools.partial(start, engine, network, prepared, options)
        try:
            results.measured(f"{network['name']}/start/{engine}", conditions, measuring)
        except EngineError as error:
            _log.warning("%s", error)


def measure_layers(descriptions: List[dict], results: Results, prepared: Prepared, options) -> None:
    conditions = {"versions": prepared.versions("mxq"), "machine": results.about["machine"], "times": options.layers}
    results.measured("peak", conditions, functools.partial(layer_times.measure_peak, prepared, options.priority))
    for network in descriptions:
        measuring = functools.partial(layer_times.measure_layers, network, prepared, options.layers, options.priority)
        try:
            results.measured(f"{network['name']}/layers", conditions, measuring)
        except EngineError as error:
            _log.warning("%s", error)
            continue
        print(f"\n{network['label']}\n{layer_page.summary(results, network['name'])}", flush=True)


def main(arguments: List[str] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(networks.SHAPES), default=list(networks.SHAPES))
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=DEFAULT_ENGINES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--processes", type=int, default=2, help="processes of one thread each; 1: leave that out")
    parser.add_argument("--neighbours", nargs="*", type=int, default=[1], help="processes that keep processors busy")
    parser.add_argument("--all", action="store_true", help="every batch with every number of threads and processes")
    parser.add_argument("--quick", action="store_true", help="batch 1, all threads, three rounds, no more: minutes")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn (default %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="times each engine is started (default %(default)s)")
    parser.add_argument("--layers", type=int, default=2, help="times single layers are measured (default %(default)s)")
    parser.add_argument("--priority", action="store_true", help="go before other programs, as far as the system allows")
    parser.add_argument("--calib-images", type=int, default=32, help="images to calibrate with (default %(default)s)")
    command_line.add_options(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.batches, options.threads = options.batches[:1], [max(options.threads)]
        options.rounds, options.starts, options.layers, options.processes = min(options.rounds, 3), 0, 0, 1
        options.neighbours = []
    command_line.settle(options, "speed-quick.json" if options.quick else "speed.json")
    results = run(options)
    print("\n" + speed_page.summary(results))
    if options.page:
        speed_page.write(results, options.page)
        print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
