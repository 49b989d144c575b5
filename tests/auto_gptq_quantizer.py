"""auto-gptq's own quantizer, packer and writer, on the CPU. Run by the Python of its environment alone.

    python -P auto_gptq_quantizer.py SOURCE OUT GROUP_SIZE DESC_ACT SYM

auto-gptq 0.7.1 quantizes on CUDA only: a constant names the card, and a call waits for it. Both are set
aside here, in this process; what is computed, packed and written is its own code.
"""

import sys
from functools import wraps

import torch


def main(source: str, out: str, group_size: str, desc_act: str, sym: str) -> None:
    from auto_gptq import BaseQuantizeConfig
    from auto_gptq.modeling import _base
    from auto_gptq.modeling.llama import LlamaGPTQForCausalLM
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    _base.CUDA_0 = torch.device("cpu")
    torch.cuda.synchronize = lambda *_args: None
    model = LlamaForCausalLM.from_pretrained(source, torch_dtype=torch.float32, local_files_only=True)
    for layer in model.model.layers:
        layer.forward = as_tuple(layer.forward)
    settings = BaseQuantizeConfig(
        bits=4, group_size=int(group_size), desc_act=desc_act == "True", sym=sym == "True"
    )
    wrapped = LlamaGPTQForCausalLM(model, False, settings)
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, model.config.vocab_size, (1, 128), generator=draw) for _ in range(8)]
    examples = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
    wrapped.quantize(examples, batch_size=1, use_triton=False, cache_examples_on_gpu=False)
    wrapped.model.half()  # as its from_pretrained loads: scales are then written in fp16
    wrapped.save_quantized(out, use_safetensors=True)


def as_tuple(forward):
    """Layers of its era answered with tuples, those of transformers 4.57 do not: it would drop the batch."""

    @wraps(forward)
    def run(*args, **kwargs):
        return (forward(*args, **kwargs),)

    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
