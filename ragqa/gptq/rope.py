"""Scaled rotary positions as a pure function of (configuration, factor). Patches no class and no process.

Linear position interpolation (Chen et al. 2023, arXiv:2306.15595): position m is rotated as m / factor, so a
model trained on 2,048 positions and scaled by 8 sees 16,384 of them inside the range it knows. A
configuration is the content of `config.json`; a scaled one is a new dict that transformers' own model
classes read. No torch is needed here.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ragqa.errors import CheckpointError

DEFAULT_THETA = 10_000.0
"""Llama's and transformers' base of the rotary frequencies, where a configuration names none."""
APPLIED = "rope_factor_applied"
"""Key that marks a configuration scaled in memory; it is never written to disk."""
STATIC_KINDS = ("default", "linear", "llama3", "yarn", "proportional")
"""Scalings whose frequencies do not change with the length of the input."""


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """What a configuration says. `kind` is transformers' `rope_type`.

    `factor` is 1 where nothing is stretched.
    """

    kind: str
    factor: float
    theta: float


def read_scaling(config: Mapping[str, Any]) -> RopeScaling:
    """Read every spelling: `rope_scaling` or `rope_parameters`, with `type` or `rope_type`, or none at all.

    Raises CheckpointError where two spellings disagree or a factor is no number of at least 1.
    """
    found = [
        _read_object(name, config[name]) for name in ("rope_scaling", "rope_parameters") if config.get(name)
    ]
    scaled = [one for one in found if one[0] != "default"]
    if len({one[:2] for one in scaled}) > 1:
        raise CheckpointError(
            f"config.json: rope_scaling {config['rope_scaling']} and rope_parameters "
            f"{config['rope_parameters']} disagree; keep the one the model was trained with."
        )
    kind, factor = scaled[0][:2] if scaled else ("default", 1.0)
    return RopeScaling(kind, factor, _read_theta(config, [one[2] for one in found if one[2] is not None]))


def _read_object(name: str, value: Any) -> tuple[str, float, float | None]:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"config.json: {name} is {value!r}, expected an object or null.")
    kinds = {str(value[key]) for key in ("rope_type", "type") if value.get(key) is not None}
    if len(kinds) > 1:
        raise CheckpointError(f"config.json: {name} names two types, {' and '.join(sorted(kinds))}.")
    kind = kinds.pop() if kinds else ("linear" if "factor" in value else "default")
    factor = value.get("factor")
    if kind == "linear" and factor is None:
        raise CheckpointError(f"config.json: {name} is linear but has no factor.")
    if factor is not None and (isinstance(factor, bool) or not isinstance(factor, int | float) or factor < 1):
        raise CheckpointError(f"config.json: {name} has factor {factor!r}, expected a number of at least 1.")
    theta = value.get("rope_theta")
    if kind == "linear" and factor == 1:
        kind = "default"
    return kind, float(factor or 1.0), None if theta is None else float(theta)


def _read_theta(config: Mapping[str, Any], inner: list[float]) -> float:
    named = {float(config["rope_theta"])} if config.get("rope_theta") is not None else set()
    named.update(inner)
    if len(named) > 1:
        raise CheckpointError(f"config.json names two values of rope_theta: {sorted(named)}.")
    return named.pop() if named else DEFAULT_THETA


def scale_rope(config: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The configuration with linear scaling by `factor`, in the spelling of transformers 5; the input is
    untouched.

    Where the configuration already says the same factor, nothing is applied a second time. Raises
    CheckpointError where it says another factor or another kind of scaling, and where it was scaled in
    memory before.
    """
    if isinstance(factor, bool) or not math.isfinite(factor) or factor < 1:
        raise CheckpointError(
            f"A rope factor of {factor!r} makes no sense; it must be a number of at least 1."
        )
    if APPLIED in config:
        raise CheckpointError(
            f"The rotary positions of this model were already scaled by {config[APPLIED]:g}; "
            f"scaling twice would give {config[APPLIED] * factor:g}."
        )
    declared = read_scaling(config)
    if declared.kind not in ("default", "linear"):
        raise CheckpointError(
            f"The model declares {declared.kind} rope scaling; linear scaling by {factor:g} cannot be "
            "added to it."
        )
    if declared.kind == "linear" and declared.factor != factor:
        raise CheckpointError(
            f"The model declares linear rope scaling by {declared.factor:g}, but {factor:g} was asked for. "
            "Leave the factor out, or correct config.json."
        )
    return {**normalise_rope(config, RopeScaling("linear", float(factor), declared.theta)), APPLIED: factor}


def normalise_rope(config: Mapping[str, Any], scaling: RopeScaling | None = None) -> dict[str, Any]:
    """The configuration with all spellings folded into `rope_parameters`, as declared or as given."""
    scaling = scaling or read_scaling(config)
    values = copy.deepcopy(dict(config))
    old = {**(values.pop("rope_scaling", None) or {}), **(values.pop("rope_parameters", None) or {})}
    values.pop("rope_theta", None)
    old.pop("type", None)
    if scaling.kind in ("default", "linear"):
        old = {} if scaling.factor == 1 else {"factor": scaling.factor}
    kind = "default" if scaling.kind == "linear" and scaling.factor == 1 else scaling.kind
    values["rope_parameters"] = {**old, "rope_type": kind, "rope_theta": scaling.theta}
    return values


def window_of(config: Mapping[str, Any]) -> int:
    """Positions that the declared scaling gives, prompt and answer together.

    For linear scaling `max_position_embeddings` counts the trained positions, as vLLM reads it and as the
    Vicuna 16k configurations spell it; they are multiplied by the factor. Other kinds, and models without,
    declare it stretched.
    """
    trained = int(config["max_position_embeddings"])
    scaling = read_scaling(config)
    return int(trained * scaling.factor) if scaling.kind == "linear" else trained


def head_size(config: Mapping[str, Any]) -> int:
    """Width of one attention head."""
    explicit = config.get("head_dim")
    return int(explicit or int(config["hidden_size"]) // int(config["num_attention_heads"]))


def replace_llama_rope_with_scaled_rope(config: Any, factor: float = 8) -> Any:
    """Linear scaling under the name of the patch that made the 16k models.

    config: the content of `config.json` as a dict, or a configuration of transformers; a scaled copy of the
    same type is returned. Give it to the model class: a model that is already built keeps the frequencies it
    has, so passing one raises CheckpointError, as everything that `scale_rope` refuses does.
    """
    if isinstance(config, Mapping):
        return scale_rope(config, factor)
    if not hasattr(config, "to_dict") or hasattr(config, "state_dict"):
        raise CheckpointError(
            "Too late: a model that is built keeps its rotary frequencies. Scale its configuration before "
            "building it."
        )
    return type(config).from_dict(scale_rope(config.to_dict(), factor))
