"""One thing that a check found, and all of them."""

import json
import logging
from typing import Dict, Iterable, List, NamedTuple, Tuple

#: Worst first. An error ruins the result, a warning costs accuracy or speed, an info is good to know.
SEVERITIES = ("error", "warning", "info")


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        severity: 'error', 'warning' or 'info'.
        check: which check: 'preprocessing', 'nonfinite', 'denormal', 'constant', 'dead', 'batchnorm' or 'outlier'.
        node: the node, parameter or tensor.
        value: what was measured.
        advice: what to do.
    """

    severity: str
    check: str
    node: str
    value: str
    advice: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.node}: {self.value}; {self.advice}"


def _together(infos: List[Finding]) -> str:
    """One line for what is good to know and the same at many places."""
    first, others = infos[0], [info.node for info in infos[1:]]
    if not others:
        return str(first)
    names = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
    return f"{first.severity}: {first.node}: {first.value} (and {len(others)} more like this: {names}); {first.advice}"


class Findings(List[Finding]):
    """Findings, the worst first. ``print`` shows a line for each, infos of a kind together; an empty list is good news.

    >>> findings = Findings([Finding("info", "dead", "conv0", "1 of 8 channels is dead", "nothing to do")])
    >>> print(findings)
    info: conv0: 1 of 8 channels is dead; nothing to do
    >>> findings.warnings
    []

    Attributes:
        unchecked: what nobody could look at, and why.
    """

    def __init__(self, findings: Iterable[Finding] = (), unchecked: Iterable[str] = ()):
        self.unchecked = list(unchecked)
        super().__init__(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))

    @property
    def warnings(self) -> List[Finding]:
        """Those that ask for something to be done: errors and warnings."""
        return [finding for finding in self if finding.severity != "info"]

    def to_json(self) -> str:
        """A JSON list of objects."""
        return json.dumps([finding._asdict() for finding in self], indent=1)

    def extended(self, more: Iterable[Finding], logger: logging.Logger) -> "Findings":
        """These and more; errors and warnings among the new ones are logged.

        One line for each check and severity, with the first of its nodes.
        """
        more = Findings(more)
        groups = {}
        for finding in more.warnings:
            groups.setdefault((finding.severity, finding.check), []).append(finding)
        for (severity, _), found in groups.items():
            rest = f" (and {len(found) - 1} more like this)" if len(found) > 1 else ""
            first = found[0]
            level = logging.ERROR if severity == "error" else logging.WARNING
            logger.log(level, "%s: %s%s; %s", first.node, first.value, rest, first.advice)
        return Findings([*self, *more])

    def __str__(self) -> str:
        lines: List[str] = []
        groups: Dict[Tuple[str, str], List[Finding]] = {}
        for finding in self:
            if finding.severity == "info":
                groups.setdefault((finding.check, finding.advice), []).append(finding)
            else:
                lines.append(str(finding))
        lines += map(_together, groups.values())
        lines = lines or ["nothing found"]
        return "\n".join(lines + [f"not checked: {what}" for what in self.unchecked])
