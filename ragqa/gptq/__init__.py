"""The patched GPTQ model: checkpoint, rope, linear, generate, quantize, perplexity, check.

Importing this package imports no torch; its modules do, so they are imported where they are used.
"""
