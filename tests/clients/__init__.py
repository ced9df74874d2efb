"""Real clients against a started server, each in its own environment: `make test-clients`.

Each folder is an environment: its packages (requirements.txt, pinned by constraints.txt), older releases to test on top
of them (older.txt), and its tests. Code in these environments imports only `cases` from this project, and modules that
`cases` imports. These need only the standard library and pytest.
"""
