"""Figures on question sets: what retrieval finds, what is cited, what is refused, each with its interval."""
