"""One SQLite database per index: the truth.

`schema` lays the tables, `writer` changes them, `reader`, `lexical` and `filters` ask.
"""
