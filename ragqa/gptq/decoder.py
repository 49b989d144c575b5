"""The lean forward pass: token ids in, logits of the last position out. Knows no tokenizer and no sampling.

Runs the weights of a loaded Llama, Mistral or Qwen2 with its own KV cache, one fused product where
projections share their input, and nothing of transformers' generation machinery, which costs more a token
than a small model's arithmetic. `tests/test_gptq_model.py` holds it to transformers' own forward pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ragqa.errors import RagqaError
from ragqa.gptq.compiled import compiled_loops
from ragqa.gptq.linear import product_dtype
from ragqa.gptq.model import LoadedModel
from ragqa.gptq.rope import STATIC_KINDS

PREFILL_CHUNK = 1024
"""Tokens a prefill step: long enough that dequantizing is a small part of it, short enough that the widest
activation (tokens x 2 x intermediate size) stays small beside the weights."""


class KvCache:
    """Keys and values of all layers, (heads, capacity, head size), allocated once.

    `length` positions are filled.
    """

    def __init__(self, model: LoadedModel, capacity: int) -> None:
        config = model.config
        heads, size = config.num_key_value_heads, _head_size(config)
        devices = [layer.input_layernorm.weight.device for layer in model.module.model.layers]
        self.capacity, self.length = capacity, 0
        self.keys = [torch.empty(heads, capacity, size, dtype=model.dtype, device=one) for one in devices]
        self.values = [torch.empty(heads, capacity, size, dtype=model.dtype, device=one) for one in devices]

    @property
    def resident_bytes(self) -> int:
        """Bytes of keys and values together."""
        return sum(one.numel() * one.element_size() for one in (*self.keys, *self.values))


@dataclass(frozen=True, slots=True)
class _Step:
    """What all layers of one forward pass share: rotary tables, fp32 (positions, 1, head size), and where
    it attends.
    """

    start: int
    end: int
    cosine: Tensor
    sine: Tensor
    mask: Tensor | None


@dataclass(frozen=True, slots=True)
class _Layer:
    """One decoder layer's parts, looked up once: attribute look-ups cost as much a token as small products.

    `mix` gives queries, keys and values side by side, `widen` the gate and what it gates; both take `dtype`.
    """

    norm: Tensor
    mix: Callable[[Tensor], Tensor]
    out: Callable[[Tensor], Tensor]
    post_norm: Tensor
    widen: Callable[[Tensor], Tensor]
    act: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]
    device: torch.device
    dtype: torch.dtype


def _layer_of(layer: Any, dtype: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    device = layer.input_layernorm.weight.device
    return _Layer(
        norm=layer.input_layernorm.weight.detach().float(),
        mix=_together(attention, ("q_proj", "k_proj", "v_proj")),
        out=attention.o_proj.forward,
        post_norm=layer.post_attention_layernorm.weight.detach().float(),
        widen=_together(mlp, ("gate_proj", "up_proj")),
        act=mlp.act_fn.forward,
        down=mlp.down_proj.forward,
        device=device,
        dtype=_product_type(device, dtype),
    )


def _together(block: Any, names: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
    """The fused product if the model was given one, else the parts' outputs joined."""
    fused = getattr(block, "fused", None)
    if fused is not None:
        forward: Callable[[Tensor], Tensor] = fused.forward
        return forward
    parts = [getattr(block, name) for name in names]
    return lambda states: torch.cat([part(states) for part in parts], dim=-1)


class Decoder:
    """A loaded model's forward pass, `chunk` tokens at a time.

    The residual stream is held in fp32, the KV cache in the model's type; so are activations where the device
    multiplies in that type, and in fp32 where it does not.

    Not thread-safe with one cache; give each conversation its own.
    """

    def __init__(self, model: LoadedModel, chunk: int = PREFILL_CHUNK) -> None:
        self.model, self.chunk = model, chunk
        config = model.config
        self.size = _head_size(config)
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.epsilon = float(config.rms_norm_eps)
        self.sliding = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
        self.static = config.rope_parameters["rope_type"] in STATIC_KINDS
        self._loops = compiled_loops()
        self._tables: tuple[Tensor, Tensor] | None = None
        self._layers = [_layer_of(layer, model.dtype) for layer in model.module.model.layers]
        self._final_norm = model.module.model.norm.weight.detach().float()

    def new_cache(self, capacity: int) -> KvCache:
        """An empty cache for `capacity` positions, at most the model's window."""
        if capacity > self.model.window:
            raise RagqaError(
                f"{capacity} positions were asked for; the model's window is {self.model.window}."
            )
        return KvCache(self.model, capacity)

    @torch.inference_mode()
    def logits(self, ids: Tensor, cache: KvCache) -> Tensor:
        """Append ids (tokens,) to the cache and give the fp32 logits (vocabulary,) of the last position.

        Raises RagqaError where the cache has no room, or where the logits are not finite.
        """
        hidden = self.hidden(ids, cache)[-1:]
        logits: Tensor = self.model.module.lm_head(hidden)[0]
        # The largest is not finite where any value is NaN or +inf, and costs a tenth of testing each.
        if not math.isfinite(float(logits.max())):
            raise RagqaError(
                "The model computed values that are not finite; its weights or its type are wrong."
            )
        return logits

    @torch.inference_mode()
    def hidden(self, ids: Tensor, cache: KvCache) -> Tensor:
        """Append ids (tokens,) to the cache, chunk by chunk.

        Normed hidden states (last chunk's tokens, width).
        """
        if cache.length + ids.shape[0] > cache.capacity:
            raise RagqaError(
                f"{ids.shape[0]} tokens do not fit behind {cache.length} in a cache of {cache.capacity}."
            )
        if ids.shape[0] == 0:
            raise RagqaError("There are no tokens to read.")
        for part in torch.split(ids, self.chunk):
            states = self._forward(part, cache)
        return states

    def _forward(self, ids: Tensor, cache: KvCache) -> Tensor:
        stack = self.model.module.model
        states: Tensor = stack.embed_tokens(ids.to(stack.embed_tokens.weight.device)).float()
        step = self._step(cache, ids.shape[0], states)
        for index, layer in enumerate(self._layers):
            states, step = _moved(states, step, layer.device)
            states = self._layer(layer, states, step, cache.keys[index], cache.values[index])
        cache.length = step.end
        return self._norm(self._final_norm, states.to(self._final_norm.device)).to(self.model.dtype)

    def _layer(self, layer: _Layer, states: Tensor, step: _Step, keys: Tensor, values: Tensor) -> Tensor:
        mixed = layer.mix(self._norm(layer.norm, states).to(layer.dtype)).view(states.shape[0], -1, self.size)
        if self._loops is not None and states.shape[0] == 1 and self._loops.serves_cache(keys):
            tables, begin = (step.cosine, step.sine), self._oldest(step.end)
            attended = self._loops.attend(mixed[0].float(), tables, keys, values, begin, step.end)
        else:
            attended = self._attend(mixed, keys, values, step)
        states = states + layer.out(attended.to(layer.dtype))
        gate, up = layer.widen(self._norm(layer.post_norm, states).to(layer.dtype)).chunk(2, dim=-1)
        return states + layer.down(layer.act(gate) * up)

    def _oldest(self, end: int) -> int:
        """The first position that the one before `end` sees."""
        return max(0, end - self.sliding) if self.sliding else 0

    def _attend(self, mixed: Tensor, keys: Tensor, values: Tensor, step: _Step) -> Tensor:
        """Keys and values of all tokens to the cache, and what their queries see: (tokens, heads * size)."""
        # rotate_half(x) * sin, with the sign moved into the table of sines.
        straight = mixed[:, : self.heads + self.shared]
        turned = torch.addcmul(straight * step.cosine, straight.roll(self.size // 2, -1), step.sine)
        keys[:, step.start : step.end] = turned[:, self.heads :].transpose(0, 1)
        values[:, step.start : step.end] = mixed[:, self.heads + self.shared :].transpose(0, 1)
        queries = turned[:, : self.heads].to(self.model.dtype)
        tokens = queries.shape[0]
        first = self._oldest(step.end) if tokens == 1 else 0
        past, seen = keys[None, :, first : step.end], values[None, :, first : step.end]
        if tokens == 1:
            # One token sees all of the past, so the heads that share keys can stand in for tokens: no copies.
            grouped = queries.reshape(1, self.shared, self.heads // self.shared, self.size)
            seen_by = functional.scaled_dot_product_attention(grouped, past, seen)
            return seen_by.reshape(1, -1)
        seen_by = functional.scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            past,
            seen,
            attn_mask=step.mask,
            is_causal=step.mask is None,
            enable_gqa=self.heads != self.shared,
        )
        return seen_by[0].transpose(0, 1).reshape(tokens, -1)

    def _norm(self, weight: Tensor, states: Tensor) -> Tensor:
        if states.shape[0] == 1 and states.device.type == "cpu":
            # The operator is made of ten others, which for one row cost more than the arithmetic.
            row = states[0]
            mean = float(torch.dot(row, row)) / row.shape[0]
            return torch.mul(states, weight).mul_(1 / math.sqrt(mean + self.epsilon))
        return functional.rms_norm(states, (states.shape[-1],), weight, self.epsilon)

    def _step(self, cache: KvCache, tokens: int, states: Tensor) -> _Step:
        start, end = cache.length, cache.length + tokens
        if self.static:
            if self._tables is None or self._tables[0].shape[0] < end:
                self._tables = self._rotary(0, min(self.model.window, max(2 * end, 1024)), states)
            cosine, sine = (table[start:end] for table in self._tables)
        else:
            cosine, sine = self._rotary(start, end, states)
        mask = None
        limited = self.sliding is not None and end > self.sliding
        if tokens > 1 and (start > 0 or limited):
            query = torch.arange(start, end, device=states.device).unsqueeze(1)
            key = torch.arange(end, device=states.device)
            mask = key <= query
            if self.sliding is not None:
                mask &= key > query - self.sliding
        return _Step(start, end, cosine, sine, mask)

    def _rotary(self, start: int, end: int, states: Tensor) -> tuple[Tensor, Tensor]:
        """The model's own cosines and sines, (positions, 1, head size); half the sines negated.

        fp32, as the compiled attention reads them, whatever the layers multiply in.
        """
        rotary = self.model.module.model.rotary_emb
        positions = torch.arange(start, end, device=states.device).unsqueeze(0)
        cosine, sine = rotary(states[None].float(), positions)
        sine = sine[0].clone()
        sine[:, : self.size // 2].neg_()
        return cosine[0].unsqueeze(1), sine.unsqueeze(1)


def _moved(states: Tensor, step: _Step, device: torch.device) -> tuple[Tensor, _Step]:
    """The same on another device, where the layers are spread over several."""
    if states.device == device:
        return states, step
    mask = None if step.mask is None else step.mask.to(device)
    cosine, sine = (table.to(device) for table in (step.cosine, step.sine))
    return states.to(device), _Step(step.start, step.end, cosine, sine, mask)


def _product_type(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    return product_dtype(dtype) if device.type == "cpu" else dtype


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
