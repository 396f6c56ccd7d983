"""For the generator of the documentation: what docstrings of mxq have beyond what Griffe reads.

* Arguments in several sections. Griffe knows "Args:" alone and takes "Ranges and activations:" for a remark. A section
  of a function whose indented lines begin with names of its arguments becomes "Args: Ranges and activations".
* Examples in between. What begins with ``>>>`` becomes a block of code, without the remarks that are for doctest.
"""

import re

import griffe

_SECTION = re.compile(r"^([A-Z][a-z ]+):$\n(?= {4}(\w+)(?:, \w+)*: )", re.MULTILINE)
_KNOWN = ("Args", "Attributes", "Returns", "Raises")
_EXAMPLE = re.compile(r"^>>> .*\n?(?:.+\n?)*", re.MULTILINE)
_DOCTEST = re.compile(r"\s*# doctest: \S+$", re.MULTILINE)


class Sections(griffe.Extension):
    """Runs where a function, class or module was read."""

    def on_function(self, *, func: griffe.Function, **_) -> None:
        """Sections of arguments."""
        if func.docstring is None:
            return
        arguments = {parameter.name for parameter in func.parameters}

        def renamed(found: "re.Match[str]") -> str:
            title, first = found.groups()
            return found.group() if title in _KNOWN or first not in arguments else f"Args: {title}\n"

        func.docstring.value = _SECTION.sub(renamed, func.docstring.value)

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Examples."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(found: "re.Match[str]") -> str:
    return f"```pycon\n{_DOCTEST.sub('', found.group().rstrip())}\n```\n"
