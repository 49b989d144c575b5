"""A tokenizer and a Llama of random weights, small enough to train in a test."""

from pathlib import Path

from ragqa.gptq.finetune.rows import Group, Question
from ragqa.types import REFUSAL

CORPUS = [
    "BEGININPUT\nBEGINCONTEXT\nsource: docs/a.md\ntitle: Keys\npage: 3\nENDCONTEXT\n",
    "The red key opens the attic.\nENDINPUT\n",
    "BEGININSTRUCTION\nWhat opens the attic?\nDon't make up answers if you don't know.",
    "\nSource?\nENDINSTRUCTION",
    "The documents do not contain the answer to this question.\nSource:\nsource: docs/a.md",
    "user\nassistant\nurl: https://example.org/1 date: 2021-01-01",
    "Source:// Sources: References: Reference(s):",
]


GROUP = Group(
    blocks=(((("source", "docs/a.md"), ("page", "3")), "The red key opens the attic."), ((), "Dogs bark.")),
    questions=(
        Question("What opens the attic?\nSource?", "The red key.\nSource:\nsource: docs/a.md\npage: 3", True),
        Question("What opens the cellar?\nSource?", REFUSAL, False),
        Question("Do dogs bark?", "Yes.", True),
    ),
)


def make_tokenizer(extra_tokens: tuple[str, ...] = ()):
    """A byte-level BPE of about 400 words with ChatML's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from ragqa.gptq.finetune.base import CHATML

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*CORPUS, *extra_tokens], trainer)
    marks = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)
    made.chat_template = CHATML
    return made


def make_base(folder: Path) -> Path:
    """A Llama of two layers with the tokenizer, as transformers saves it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
