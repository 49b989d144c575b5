"""The checkpoint of a run: adapter, optimizer moments, and where the data stands. One file, replaced whole.

Nothing in a run is random but the adapter's first values and the order of the rows, and both follow from the
seed, so stage and step say where the data stands.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ragqa.errors import CheckpointError
from ragqa.gptq.finetune.lora import adapter_tensors, fill_adapter
from ragqa.gptq.finetune.options import FinetuneOptions, StageName

NAME = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands: `step` steps of `stage` are done; `updates` are the optimizer's since its start."""

    stage: StageName = "long"
    step: int = 0
    updates: int = 0
    long_done: int = 0

    def after_step(self) -> "Position":
        return replace(self, step=self.step + 1, updates=self.updates + 1)

    def in_answers(self) -> "Position":
        """The beginning of the second stage, with a fresh optimizer."""
        return Position("answers", 0, 0, self.step)


def fingerprint(options: FinetuneOptions) -> dict[str, Any]:
    """What a resumed run must share with the one it goes on from: what fixes adapter and data order."""
    return {
        "factor": options.factor,
        "rank": options.rank,
        "alpha": options.alpha,
        "seed": options.seed,
        "frozen_bits": options.frozen_bits,
        "window": options.window,
        "reach": options.reach,
        "long_rows": options.long.rows,
        "answer_rows": options.answers.rows,
    }


def save(options: FinetuneOptions, model: nn.Module, optimizer: Any, position: Position) -> None:
    """Write the checkpoint beside the old one, then put it in its place."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, parameter in adapter_tensors(model).items():
        tensors[name] = parameter.detach().contiguous()
        for moment, value in optimizer.state.get(parameter, {}).items():
            if moment in MOMENTS:
                tensors[f"{moment}/{name}"] = value.contiguous()
    facts = {"position": asdict(position), "fingerprint": fingerprint(options)}
    options.out.mkdir(parents=True, exist_ok=True)
    part = options.out / (NAME + ".part")
    save_file(tensors, part, metadata={"ragqa": json.dumps(facts)})
    part.replace(options.out / NAME)


def resume(options: FinetuneOptions, model: nn.Module, optimizer: Any) -> Position:
    """Fill adapter and optimizer from the checkpoint in `out`; the beginning if there is none.

    Raises CheckpointError if it was made with other settings that the data order or the adapter depend on.
    """
    from safetensors import safe_open

    path = options.out / NAME
    if not path.is_file():
        return Position()
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["ragqa"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    position = Position(**facts["position"])
    elsewhere = ("answer_rows",) if position.stage == "long" else ("window", "reach", "long_rows")
    for key, value in fingerprint(options).items():
        if key not in elsewhere and facts["fingerprint"].get(key, value) != value:
            raise CheckpointError(
                f"{path} was made with {key} {facts['fingerprint'][key]}, not {value}; use another folder"
            )
    fill_adapter(model, {name: tensor for name, tensor in tensors.items() if "/" not in name})
    if position.updates:
        _fill_moments(model, optimizer, tensors, position.updates)
    return position


def _fill_moments(model: nn.Module, optimizer: Any, tensors: dict[str, Tensor], updates: int) -> None:
    for name, parameter in adapter_tensors(model).items():
        if f"{MOMENTS[0]}/{name}" not in tensors:  # frozen in this stage
            continue
        state = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
        optimizer.state[parameter] = {"step": torch.tensor(float(updates)), **state}
