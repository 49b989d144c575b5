"""Files in, searchable chunks out. Knows no prompt and no model."""
