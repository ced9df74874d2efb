"""Playground: the page at / on which people rank texts in a browser. `static/` holds its files, served unchanged."""
