"""Does a wheel keep what its tag promises? Reads the symbols that its libraries ask of the system, with objdump.

    python ci/wheel_symbols.py dist/mxq-*-manylinux_2_28_x86_64.whl

The rules are those of auditwheel's policy manylinux_2_28: symbols of glibc up to 2.28, of libgcc up to 8, nothing of
libstdc++ newer than GCC 8, and no libraries but those of the policy. Two more are allowed, because MXNet and oneDNN
bring or need them in any case: libgomp.so.1 (a second copy would be a second team of threads) and libdnnl.so.3.
"""

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from typing import List, Tuple

#: Prefix of symbol versions -> the newest that is allowed.
NEWEST = {
    "GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (8, 0, 0), "GOMP": (4, 5), "OMP": (4, 5),
    "OACC": (2, 0),
}  # fmt: skip
LIBRARIES = (
    "libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6",
    "ld-linux-x86-64.so.2", "libgomp.so.1", "libdnnl.so.3",
)  # fmt: skip


def problems(library: str) -> List[str]:
    """What of a shared library the policy does not allow."""
    headers = subprocess.run(["objdump", "-p", library], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = [f"needs {name}" for name in re.findall(r"NEEDED\s+(\S+)", headers) if name not in LIBRARIES]
    found += [f"RUNPATH {path}" for path in re.findall(r"RU?N?PATH\s+(\S+)", headers) if "$ORIGIN" not in path]
    symbols = subprocess.run(["objdump", "-T", library], stdout=subprocess.PIPE, check=True).stdout.decode()
    for line in symbols.splitlines():
        asked = re.search(r"\*UND\*\s+\S+\s+\(?([A-Z]+)_([\d.]+)\)?\s+(\S+)", line)
        if asked and _numbers(asked[2]) > NEWEST.get(asked[1], (0,)):
            found.append(f"asks for {asked[3]} of {asked[1]}_{asked[2]}")
    return found


def _numbers(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def main(wheels: List[str]) -> int:
    bad = 0
    for wheel in wheels:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".so")]
            if not names or not wheel.endswith("-py3-none-manylinux_2_28_x86_64.whl"):
                print(f"{wheel}: no wheel for manylinux_2_28 with a library")
                bad += 1
            for name in names:
                for problem in problems(archive.extract(name, folder)):
                    print(f"{os.path.basename(wheel)}: {name} {problem}")
                    bad += 1
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
