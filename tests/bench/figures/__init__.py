"""One file a figure: how it is taken. What it is compared with, and the bound, is in rows.py."""
