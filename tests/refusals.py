"""Checks that a call is refused in words."""


def refused(call, *parts, error=ValueError):
    """The call raises `error`, and its text holds all `parts`. MXNet's errors for arguments are ValueErrors too."""
    try:
        call()
    except error as caught:
        for part in parts:
            assert part in str(caught), f"{part!r} not in {caught}"
        return
    raise AssertionError(f"{error.__name__} was not raised")
