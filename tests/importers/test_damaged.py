"""Damaged files of every format, as tests/fuzz/importers.py makes them; ci/fuzz.sh runs many more."""

from tests.fuzz.importers import FORMATS, Importers

CASES = 150


def test_damaged_files_are_refused_or_read():
    """By an MXQError and no other; some of each format are damaged where it does not matter."""
    cases = Importers(limit=False)
    found = {cases.case(seed) for seed in range(CASES)}
    assert found == {f"{ending[1:]}-{outcome}" for ending in FORMATS for outcome in ("read", "refused")}, found
