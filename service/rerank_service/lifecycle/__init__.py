"""How the server changes while it runs, and how it ends: hot swap, background work, shutdown."""
