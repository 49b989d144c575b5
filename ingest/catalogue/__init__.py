"""One SQLite database per index: the truth.

`schema` lays the tables, `writer` and `documents` change them, `reader`, `lexical` and `filters` ask.
"""
