"""Engines in processes of their own (worker.py), spoken to a line of JSON at a time, and the files they prepare."""

import hashlib
import json
import logging
import os
import select
import shutil
import subprocess
import sys
from typing import Dict, List, Optional

import numpy as np
from engines import ENGINES, missing
from networks import export_onnx

import mxq
from mxq.network.atomic import write_atomically

_log = logging.getLogger(__name__)
#: The engine that the others must agree with, and the one that shows that an exported network is right.
REFERENCE, CHECKER = "float", "ort-float"
#: Version of what engines write: older files are made anew.
FORMAT = 2
#: Images it is done on, and the signal-to-noise ratio in dB that float engines must reach.
CHECKED, SAME_NETWORK = 4, 30.0
#: Seconds after which an engine that says nothing is given up.
PATIENCE = 1800
HERE = os.path.dirname(os.path.abspath(__file__))


class EngineError(RuntimeError):
    """An engine could not do what it was asked; the message says which and why."""


class Process:
    """A worker with one engine.

    Args:
        engine: its name.
        threads: what OMP_NUM_THREADS is set to.
        log: file that everything the libraries print is added to.
        processor: the one processor it is bound to, if any.
        priority: whether it goes before what else the machine does, where that is allowed.
        environment: more variables for it.
        making: whether it makes the engine's files, where another environment than the engine's does.
    """

    def __init__(
        self,
        engine: str,
        threads: int,
        log: str,
        processor: Optional[int] = None,
        *,
        priority: bool = False,
        environment: Optional[Dict[str, str]] = None,
        making: bool = False,
    ):
        self.engine = engine
        self.threads = threads
        self._log = open(log, "a")
        variables = {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore", **(environment or {})}
        python = sys.executable if making else ENGINES[engine].python(sys.executable)
        command = [python, os.path.join(HERE, "worker.py"), engine, *["making"] * making]
        if processor is not None:
            command = ["taskset", "-c", str(processor), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **variables},
            universal_newlines=True,
        )
        if priority:
            self._go_first()

    def _go_first(self) -> None:
        """Scheduled in real time: a thread that another waits for gets its processor at once, whoever has it."""
        try:
            os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(1))
        except OSError as error:
            _log.warning("%s: its priority stays as it is: %s", self.engine, error)

    def send(self, do: str, **request) -> None:
        self._log.flush()
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process is gone; receive says why

    def receive(self) -> dict:
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not ready:
            self._process.kill()
            raise EngineError(f"{self.engine}: no answer in {PATIENCE} s; its output is in {self._log.name}")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise EngineError(
                f"{self.engine}: the process ended with status {status}; its output is in {self._log.name}"
            )
        answer = json.loads(line)
        if "error" in answer:
            self._log.write(answer["trace"])
            self._log.flush()
            raise EngineError(f"{self.engine}: {answer['error'].splitlines()[0]} (more in {self._log.name})")
        return answer

    def ask(self, do: str, **request) -> dict:
        self.send(do, **request)
        return self.receive()

    def load(self, network: dict, folder: str, batch: int) -> dict:
        return self.ask("load", network=network, folder=folder, batch=batch, threads=self.threads)

    def close(self) -> None:
        self.send("quit")
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # the process is gone
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *exc) -> None:
        self.close()


def batch_of(engine: str, network: dict, wanted: int) -> int:
    """The batch size that an engine's files can be run with: what mxq delivers is for single examples."""
    return 1 if ENGINES[engine].made_by else network.get("batch", wanted)


class Prepared:
    """The files that each engine made of each network: made when first asked for, kept in the work folder.

    Args:
        work: the work folder.
        examples: images to calibrate with, at most.
        threads: for calibration.
    """

    def __init__(self, work: str, examples: int, threads: int):
        self.work, self.examples, self.threads = work, examples, threads
        self._versions: Dict[str, dict] = {}

    def log(self, engine: str) -> str:
        folder = os.path.join(self.work, "logs")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, f"{engine}.log")

    def versions(self, engine: str) -> dict:
        """Versions of what an engine runs on, and of mxq the content of its sources and library."""
        if engine not in self._versions:
            with Process(engine, self.threads, self.log(engine)) as process:
                found = process.ask("versions")["versions"]
            if ENGINES[engine].is_ours:
                found["content"] = content_of(os.path.dirname(mxq.__file__))
            self._versions[engine] = found
        return self._versions[engine]

    def __call__(self, engine: str, network: dict) -> dict:
        """An engine's files for a network.

        Returns:
            dict: ``folder``; ``seconds`` that making the files took; ``examples`` it was calibrated with; ``sqnr`` of
            all outputs in dB beside float MXNet's, on a few images.

        Raises:
            EngineError: the engine cannot take this network.
        """
        engine = ENGINES[engine].prepared or engine
        examples = min(self.examples, network["calib_images"]) if ENGINES[engine].bits == 8 else 0
        folder = os.path.join(network["folder"], f"{engine}-{examples}")
        wanted = {"format": FORMAT, "engine": self.versions(engine), "options": ENGINES[engine].options}
        note = os.path.join(folder, "prepared.json")
        if os.path.exists(note):
            with open(note) as file:
                found = json.load(file)
            if all(found.get(key) == value for key, value in wanted.items()):
                return found
        elsewhere = ENGINES[engine].made_by is not None
        if ENGINES[engine].packages and not elsewhere:
            network = dict(network, onnx=self._exported(network))
        making = os.path.join(network["folder"], f".making-{os.path.basename(folder)}")
        shutil.rmtree(making, ignore_errors=True)  # of a run that was ended
        os.mkdir(making)
        try:
            with Process(engine, self.threads, self.log(engine), making=elsewhere) as process:
                seconds = process.ask("prepare", network=network, folder=making, examples=examples)["seconds"]
            with Process(engine, self.threads, self.log(engine)) as process:
                process.load(network, making, batch_of(engine, network, CHECKED))
                process.ask("outputs", output=os.path.join(making, "outputs.npz"))
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(making, folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        found = {**wanted, "folder": folder, "seconds": seconds, "examples": examples}
        found["sqnr"] = self._sqnr(engine, network, folder)
        write_atomically(note, lambda path: _dump(found, path))  # without it the folder is made again
        return found

    def _sqnr(self, engine: str, network: dict, folder: str) -> Optional[float]:
        """How far an engine is from MXNet in float; float engines must be the same network."""
        if engine == REFERENCE:
            return None
        reference = os.path.join(self(REFERENCE, network)["folder"], "outputs.npz")
        with np.load(reference) as floats, np.load(os.path.join(folder, "outputs.npz")) as others:
            exact, found = ([file[k] for k in file.files] for file in (floats, others))
            if ENGINES[engine].made_by:
                exact = [array[: len(one)] for array, one in zip(exact, found)]
            if [array.shape for array in exact] != [array.shape for array in found]:
                raise EngineError(f"{engine}: {network['name']} has outputs of other shapes there than in MXNet")
            signal = sum(np.square(array, dtype=np.float64).sum() for array in exact)
            noise = sum(np.square(a - b, dtype=np.float64).sum() for a, b in zip(exact, found))
        ratio = 10 * float(np.log10(signal / max(noise, 1e-30 * signal)))
        if ENGINES[engine].bits == 32 and not ratio > SAME_NETWORK:
            raise EngineError(f"{engine}: {network['name']} is another network there than in MXNet: {ratio:.1f} dB")
        return ratio

    def _exported(self, network: dict) -> str:
        """The network as ONNX, which ONNX Runtime has shown to be the same."""
        exported = os.path.exists(network["float"] + ".onnx")
        try:
            path = export_onnx(network)
        except Exception as error:  # MXNet's exporter raises what it comes across
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            raise EngineError(f"{network['name']} is not exported to ONNX: {reason}") from error
        if not exported and missing(CHECKER) is None:
            try:
                self(CHECKER, network)
            except EngineError:
                os.remove(path)
                raise
        return path


def _dump(what: object, path: str) -> None:
    with open(path, "w") as file:
        json.dump(what, file, indent=1)


def content_of(package: str) -> str:
    """A digest of a package's sources and libraries, so that what it made is made again when it changes."""
    digest = hashlib.sha256()
    for folder, folders, files in sorted(os.walk(package)):
        folders.sort()
        for name in sorted(files):
            if name.endswith((".py", ".so")):
                with open(os.path.join(folder, name), "rb") as file:
                    digest.update(name.encode() + file.read())
    return digest.hexdigest()[:16]


def size_of(folder: str) -> int:
    """Bytes of the network files in a prepared folder."""
    names: List[str] = [name for name in os.listdir(folder) if name.startswith("model")]
    return sum(os.path.getsize(os.path.join(folder, name)) for name in names)
