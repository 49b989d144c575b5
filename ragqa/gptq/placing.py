"""Which device each part of a model lies on. Knows no weights."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ragqa.errors import CheckpointError, EngineUnavailableError

UNUSABLE = ("disk", "meta")
"""Places that accelerate gives out and that compute nothing."""


def place_modules(module: Any, device_map: str | Mapping[str, str]) -> Callable[[str], torch.device]:
    """A function from a module's name to its device. CUDA is written but untested: there was no card.

    `device_map` as `LoadOptions` has it. Raises CheckpointError where a layer has no place it can run from,
    EngineUnavailableError for a device that is not there.
    """
    if device_map == "auto":
        from accelerate import infer_auto_device_map  # type: ignore[import-untyped]

        device_map = {
            name: f"cuda:{place}" if isinstance(place, int) else str(place)
            for name, place in infer_auto_device_map(
                module, no_split_module_classes=[type(module.model.layers[0]).__name__]
            ).items()
        }
    named = {"": device_map} if isinstance(device_map, str) else dict(device_map)
    if unusable := sorted({place for place in named.values() if place in UNUSABLE}):
        raise CheckpointError(
            f"Layers cannot run from {unusable[0]}; there is not enough memory for this model."
        )
    for place in sorted(set(named.values())):
        _require_device(place)

    def device_of(name: str) -> torch.device:
        fitting = [prefix for prefix in named if prefix == "" or f"{name}.".startswith(f"{prefix}.")]
        if not fitting:
            raise CheckpointError(f"The device map says nothing of {name}.")
        return torch.device(named[max(fitting, key=len)])

    return device_of


def _require_device(place: str) -> None:
    """Raise EngineUnavailableError for what is no device, or not one of this machine's."""
    try:
        device = torch.device(place)
    except RuntimeError as error:
        raise EngineUnavailableError(
            f"{place!r} is no device. --device-map takes cpu, cuda, cuda:1 or auto."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineUnavailableError(
            f"PyTorch finds no device {place} here. Leave --device-map out to run on the CPU, or install a "
            "build of PyTorch for your card (https://pytorch.org)."
        )
