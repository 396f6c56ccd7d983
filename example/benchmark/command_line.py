"""What the benchmarks have in common on their command lines."""

import argparse
import logging
import os
import sys
from typing import List

import networks
import owned
from engines import ENGINES, REPO, missing
from processes import EngineError, Prepared

import measure


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder with models/ and images/ (default: $MXQ_DATA, ../shared/data)")
    parser.add_argument("--work", default=os.path.join(REPO, "build", "benchmark"), help="networks are kept here")
    parser.add_argument("--json", help="measurements (default: a file in the work folder)")
    parser.add_argument("--fresh", action="store_true", help="measure again what the JSON file has")
    parser.add_argument("--page", help="write a page of results to this Markdown file, and a picture beside it")


def settle(options: argparse.Namespace, json_name: str) -> None:
    """Fills in what was left open and makes the work folder."""
    if options.data:
        os.environ["MXQ_DATA"] = options.data
    options.work = os.path.abspath(options.work)
    options.json = options.json or os.path.join(options.work, json_name)
    os.makedirs(options.work, exist_ok=True)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


def command() -> str:
    """How the program was called, for the page that it writes."""
    return " ".join(["python", os.path.relpath(os.path.abspath(sys.argv[0]), REPO), *sys.argv[1:]])


def about(engines: List[str], prepared: Prepared, threads: int, **more) -> dict:
    """What holds for all measurements of a run, for the page that it writes; networks are filled in by it."""
    return {
        "machine": measure.machine(threads),
        "command": command(),
        **more,
        "engines": engines,
        "labels": {engine: ENGINES[engine].label for engine in engines},
        "versions": {key: value for engine in engines for key, value in prepared.versions(engine).items()},
        "networks": [],
    }


def conditions(engine: str, prepared: Prepared, images: int) -> dict:
    """Under which an engine's answers to images are measured anew."""
    found = {"engine": prepared.versions(engine), "options": ENGINES[engine].options, "images": images}
    return {**found, "calib_images": prepared.examples}


def usable(engines: List[str], prepared: Prepared) -> List[str]:
    """The engines that are installed and start; says why for each of the others."""
    found = []
    for engine in engines:
        reason = missing(engine)
        try:
            if reason is None:
                prepared.versions(engine)
        except EngineError as error:
            reason = str(error)
        if reason:
            print(f"skipped {engine}: {reason}", flush=True)
        else:
            found.append(engine)
    return found


def networks_of(options: argparse.Namespace) -> List[dict]:
    """The networks that can be made here; says why for each of the others."""
    found = []
    for name in options.networks:
        try:
            if name in owned.RECIPES:
                found.append(owned.make(name, options.owned, options.work))
            else:
                found.append(networks.make(name, options.work))
        except LookupError as error:
            print(f"skipped {name}: {error}", flush=True)
    return found
