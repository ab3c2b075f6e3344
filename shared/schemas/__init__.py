"""The records on the topics: one module for each, all JSON, all encoded and decoded with prepared msgspec codecs."""
