"""Tune a small Llama for closed-context answers: long text at scaled positions first, then examples.

Importing this package imports no torch; `ragqa.gptq.finetune.run` does, so it is imported where it is used.
"""
