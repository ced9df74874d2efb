"""Output of the commands: tables and lines for a terminal."""
