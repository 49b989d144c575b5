"""Runs a GPTQ folder through auto-gptq; speaks JSON lines. A program of its own: it imports nothing of ragqa.

Runs in the environment of `constraints-auto-gptq.txt`, started by `ragqa.llm.auto_gptq`. Each line of stdin
is a request, each line of stdout its answer:

    {"op": "load", "folder": "...", "dtype": "float32"}      -> {"ok": true, "versions": {...}}
    {"op": "logits", "ids": [1, 2, 3], "keep": 5}            -> {"ok": true, "shape": [1, 49152], "data":
    "<base64>"}

`keep` is the length of the cached beginning that the ids continue; the answer holds the last position's
logits in little-endian fp32, or those of all the ids with "all": true. A failure is {"error": "...",
"refused": bool}.
"""

import base64
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

CHUNK = 1024


class RefusedError(Exception):
    """The folder is not one that may be given to auto-gptq."""


def refuse_remote_code(folder: Path) -> None:
    """Raise RefusedError for a folder that could make transformers run code of its own.

    auto-gptq 0.7.1 reads configurations with trust_remote_code=True whatever it is asked, so this stands
    before it.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".pyc", ".so", ".pkl", ".bin", ".pt", ".pth"):
            raise RefusedError(f"{path} is code or a pickle; auto-gptq would trust it")
        if path.suffix == ".json" and '"auto_map"' in path.read_text(encoding="utf-8", errors="replace"):
            raise RefusedError(f"{path} names code of its own (auto_map); auto-gptq would run it")


class Model:
    """The loaded model and the KV cache of what it read last."""

    def __init__(self, folder: Path, dtype: str) -> None:
        refuse_remote_code(folder)
        import torch
        from auto_gptq import AutoGPTQForCausalLM  # type: ignore[import-not-found,unused-ignore]

        self.torch = torch
        loaded = AutoGPTQForCausalLM.from_quantized(
            str(folder),
            device="cuda:0" if torch.cuda.is_available() else "cpu",
            torch_dtype=getattr(torch, dtype),
            use_safetensors=True,
            # Without a card only the plain kernels are there; with one the exllama ones would want fp16.
            disable_exllama=True,
            disable_exllamav2=True,
            inject_fused_attention=False,
            inject_fused_mlp=False,
            trust_remote_code=False,
            local_files_only=True,
        )
        self.model = loaded.model.eval()
        if self.model.config.tie_word_embeddings:
            self._load_embeddings(folder)
        self.cache: Any = None

    def _load_embeddings(self, folder: Path) -> None:
        """Read the table that embeds and predicts, again.

        auto-gptq ties before it loads; accelerate's loader then ties once more, to the head that no file
        held, and both are left as uninitialised memory (accelerate 1.15: `retie_parameters` takes the first
        that is not meta).
        """
        from safetensors import safe_open

        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if "model.embed_tokens.weight" in file.keys():  # noqa: SIM118 (not a mapping)
                    table = self.model.get_input_embeddings().weight
                    table.data = file.get_tensor("model.embed_tokens.weight").to(table)
        self.model.tie_weights()

    def logits(self, ids: list[int], keep: int, everything: bool) -> Any:
        """fp32 logits as an array (positions, vocabulary), after the first `keep` cached tokens and the
        ids."""
        from transformers import DynamicCache

        if self.cache is None or keep == 0:
            self.cache = DynamicCache()
        if keep > self.cache.get_seq_length():
            raise ValueError(f"{keep} cached tokens were named, {self.cache.get_seq_length()} are there")
        self.cache.crop(keep)
        rows = []
        with self.torch.inference_mode():
            for start in range(0, len(ids), CHUNK):
                part = self.torch.tensor([ids[start : start + CHUNK]], device=self.model.device)
                output = self.model(
                    input_ids=part,
                    past_key_values=self.cache,
                    use_cache=True,
                    logits_to_keep=0 if everything else 1,
                )
                rows.append(output.logits[0].float().cpu())
        return self.torch.cat(rows if everything else rows[-1:]).numpy()


def versions() -> dict[str, str]:
    """The versions that decide the numbers."""
    from importlib.metadata import version

    return {name: version(name) for name in ("auto-gptq", "transformers", "torch")}


def answer(request: dict[str, Any], models: list[Model]) -> dict[str, Any]:
    """The answer to one request; `models` holds the loaded one."""
    if request["op"] == "load":
        models[:] = [Model(Path(request["folder"]), request["dtype"])]
        return {"ok": True, "versions": versions()}
    if request["op"] == "logits":
        array = models[0].logits(request["ids"], int(request["keep"]), bool(request.get("all")))
        data = base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")
        return {"ok": True, "shape": list(array.shape), "data": data}
    raise ValueError(f"unknown op {request['op']!r}")


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more. A failing one is answered with its error, and the next is
    read."""
    models: list[Model] = []
    for line in requests:
        try:
            reply = answer(json.loads(line), models)
        except Exception as error:  # the other side decides what it means; this one goes on
            reply = {"error": f"{type(error).__name__}: {error}", "refused": isinstance(error, RefusedError)}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def main() -> None:
    """Serve on stdin and stdout; whatever libraries print goes to stderr."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", DO_NOT_TRACK="1")
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
