"""The engines: one file each, one Protocol (`ragqa.llm.engine`), a table of names in `ragqa.wiring`."""
