"""Model folders and served models: open, choose an engine, load, find by name."""
