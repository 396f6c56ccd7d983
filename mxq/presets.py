"""Named sets of options: what `preset` of quantize_model stands for."""

from typing import Any, Dict, Mapping

from .errors import ConfigError, nearest

#: Preset -> options that it changes. 'best' reads activations with 11 bits: about twice the multiplications. What is
#: left is the rounding of weights, and channels equalized for the sake of activations make that larger.
PRESETS: Dict[str, Mapping[str, Any]] = {
    "default": {},
    "best": {"activation_bits": 11, "equalize": False},
}


def with_preset(options: Mapping[str, Any]) -> Dict[str, Any]:
    """The options with those of their preset added; what is given itself counts.

    >>> with_preset({"preset": "best", "batch_size": 8})
    {'activation_bits': 11, 'equalize': False, 'preset': 'best', 'batch_size': 8}

    Raises ConfigError for an unknown preset.
    """
    name = options.get("preset", "default")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"preset={name!r}: accepted are {', '.join(PRESETS)}{nearest(str(name), PRESETS)}")
    return {**PRESETS[name], **options}
