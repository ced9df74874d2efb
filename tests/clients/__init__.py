"""The real clients against a started server, each in an environment of its own: `make test-clients`.

A folder an environment: what it holds (requirements.txt, pinned by constraints.txt), older releases that are tried on
top of it (older.txt), and its tests. What runs in those environments imports nothing of ours but this package's
`cases` and what that imports: the standard library and pytest.
"""
