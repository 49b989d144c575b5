"""A tuning run: stage 1 on long text, stage 2 on examples, resumable. CPU and CUDA by one code."""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ragqa.errors import CheckpointError
from ragqa.gptq.finetune.base import load_base
from ragqa.gptq.finetune.frozen import freeze_in_bits
from ragqa.gptq.finetune.lora import (
    adapter_tensors,
    add_adapter,
    fill_adapter,
    freeze_blocks,
    read_adapter,
    write_adapter,
)
from ragqa.gptq.finetune.loss import backward
from ragqa.gptq.finetune.options import (
    FinetuneOptions,
    FinetuneReport,
    Progress,
    Stage,
    StageName,
    Step,
    Validation,
    ignore_progress,
)
from ragqa.gptq.finetune.processes import Team, team
from ragqa.gptq.finetune.rows import ChatEncoder, Group, Row, plan, question_row, read_groups, text_rows
from ragqa.gptq.finetune.state import Position, resume, save
from ragqa.gptq.finetune.validation import validate

MAXIMUM_GRADIENT = 1.0
WRAPPER = "chatml"
LOG = "progress.jsonl"


@dataclass(slots=True)
class _Session:
    """The live objects of one process."""

    options: FinetuneOptions
    team: Team
    model: Any
    encoder: ChatEncoder
    optimizer: torch.optim.AdamW
    device: torch.device
    dtype: torch.dtype
    progress: Progress
    position: Position
    held_out: tuple[Group, ...] = ()
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    tokens: int = 0
    loss: float = math.nan
    validations: list[Validation] = field(default_factory=list)

    def autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def tell(self, event: Step | Validation) -> None:
        """Report and log, on the leading process."""
        if not self.team.leads:
            return
        if isinstance(event, Validation):
            self.validations.append(event)
        with (self.options.out / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(event)) + "\n")
        self.progress(event)


def finetune(options: FinetuneOptions, progress: Progress = ignore_progress) -> FinetuneReport:
    """Run both stages, from where `options.out` stands, and write the adapter to `out/adapter`.

    `progress` is called after each step and each validation. Raises CheckpointError for a base, example file
    or checkpoint that does not fit.
    """
    if options.processes > 1 and _device(options).type != "cpu":
        raise CheckpointError("several processes are for the CPU; use one on CUDA")
    options.out.mkdir(parents=True, exist_ok=True)
    with team(options, _work) as members:
        return _work(options, members, progress)


def _work(options: FinetuneOptions, members: Team, progress: Progress = ignore_progress) -> FinetuneReport:
    session = _open(options, members, progress)
    if session.position.stage == "long":
        _run_long(session)
        if options.examples is not None:
            session.position = session.position.in_answers()
            session.optimizer.state.clear()
    if session.position.stage == "answers":
        _run_answers(session)
    return _close(session)


def _open(options: FinetuneOptions, members: Team, progress: Progress) -> _Session:
    device = _device(options)
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    dtype = _dtype(options, device)
    # The frozen weights lie in the type they are multiplied in; the adapter stays in fp32.
    model, tokenizer = load_base(options.base, options.factor, dtype)
    if options.frozen_bits:
        freeze_in_bits(model, options.frozen_bits, options.frozen_group)
    add_adapter(model, options.rank, options.alpha, options.seed)
    if options.start:
        fill_adapter(model, _fitting_adapter(options, options.start))
    model.to(device).train()
    parameters = list(adapter_tensors(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)
    position = resume(options, model, optimizer)
    encoder = ChatEncoder(tokenizer)
    held_out = read_groups(options.validation) if options.validation else ()
    return _Session(options, members, model, encoder, optimizer, device, dtype, progress, position, held_out)


def _fitting_adapter(options: FinetuneOptions, folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of an adapter to begin from. Raises CheckpointError where its settings are others."""
    config, tensors = read_adapter(folder)
    for name, told, wanted in (
        ("rank", config["r"], options.rank),
        ("alpha", config["lora_alpha"], options.alpha),
        ("factor", config.get("ragqa", {}).get("factor", options.factor), options.factor),
    ):
        if told != wanted:
            raise CheckpointError(f"{folder} was made with {name} {told:g}, not {wanted:g}")
    return tensors


def _run_long(session: _Session) -> None:
    options = session.options
    if options.long.steps <= session.position.step or not options.texts:
        return
    texts = [path.read_text(encoding="utf-8") for path in options.texts]
    rows = text_rows(texts, session.encoder, options.window, options.reach)
    _run_stage(session, "long", options.long, [options.window] * len(rows), rows.__getitem__)


def _run_answers(session: _Session) -> None:
    options = session.options
    if options.examples is None:
        raise CheckpointError(f"{options.out} stands in the second stage; name the examples to go on with")
    freeze_blocks(session.model, options.frozen_blocks)
    groups = read_groups(options.examples)
    lengths = [group.characters for group in groups]
    _run_stage(
        session,
        "answers",
        options.answers,
        lengths,
        lambda number: question_row(groups[number], session.encoder),
    )


def _run_stage(
    session: _Session, name: StageName, stage: Stage, lengths: Sequence[int], row: Callable[[int], Row]
) -> None:
    if len(lengths) < stage.rows:
        raise CheckpointError(f"stage {name} has {len(lengths)} rows of data; one step takes {stage.rows}")
    began, seen = time.monotonic(), 0
    first = session.position.step
    order: tuple[tuple[int, ...], ...] = ()
    for step in range(first, stage.steps):
        epoch, place = divmod(step, len(lengths) // stage.rows)
        if not order or place == 0:
            order = plan(lengths, stage.rows, epoch, session.options.seed)
        chosen = [row(number) for number in order[place]]
        loss = _step(session, stage, chosen)
        seen += sum(len(one.ids) for one in chosen)
        seconds = time.monotonic() - began
        left = seconds / (step + 1 - first) * (stage.steps - step - 1)
        session.tell(Step(name, step + 1, stage.steps, loss, seen, seen / seconds, left))
        _after_step(session, name, stage)
    session.tokens += seen


def _step(session: _Session, stage: Stage, rows: Sequence[Row]) -> float:
    """One optimizer step; returns the mean loss of the step's rows."""
    total = sum(row.weight for row in rows)
    parameters = list(adapter_tensors(session.model).values())
    session.optimizer.zero_grad(set_to_none=True)
    loss = 0.0
    for number in session.team.mine(range(len(rows))):
        with session.autocast():
            loss += backward(session.model, rows[number], total, session.device)
    session.team.add_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, MAXIMUM_GRADIENT)
    for group in session.optimizer.param_groups:
        group["lr"] = learning_rate(stage, session.position.step)
    session.optimizer.step()
    session.position = session.position.after_step()
    session.loss = float(session.team.add(torch.tensor(loss))) / total
    return session.loss


def learning_rate(stage: Stage, step: int) -> float:
    """Up over `warmup` steps, level, then down to zero over the last `decay` steps. `step` counts from 0."""
    up = min(1.0, (step + 1) / max(stage.warmup, 1))
    down = min(1.0, (stage.steps - step) / max(stage.decay, 1))
    return stage.rate * min(up, down)


def _after_step(session: _Session, name: StageName, stage: Stage) -> None:
    options, step = session.options, session.position.step
    last = step == stage.steps
    due = time.monotonic() - session.saved >= options.save_seconds
    if session.team.leads and (due or last):
        save(options, session.model, session.optimizer, session.position)
        session.saved = time.monotonic()
    if name == "answers" and session.held_out and (last or step % options.validate_every == 0):
        rows = session.held_out
        with session.autocast():
            session.tell(validate(session.model, rows, session.encoder, session.team, session.device, step))


def _close(session: _Session) -> FinetuneReport:
    options, position = session.options, session.position
    adapter = options.out / "adapter"
    if session.team.leads:
        facts = {"factor": options.factor, "wrapper": WRAPPER, **asdict(position)}
        if session.validations and session.validations[-1].refusal:
            facts["refusal"] = asdict(session.validations[-1].refusal)
        write_adapter(adapter, session.model, facts)
    answers = position.step if position.stage == "answers" else 0
    return FinetuneReport(
        adapter,
        position.long_done if answers else position.step,
        answers,
        session.tokens,
        time.monotonic() - session.started,
        session.loss,
        tuple(session.validations),
    )


def _device(options: FinetuneOptions) -> torch.device:
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(options.device)


def _dtype(options: FinetuneOptions, device: torch.device) -> torch.dtype:
    """bf16 where the machine multiplies it, else fp32: on AVX2 alone bf16 measured 15 times slower."""
    if options.precision != "auto":
        return torch.bfloat16 if options.precision == "bfloat16" else torch.float32
    multiplied = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if multiplied else torch.float32
