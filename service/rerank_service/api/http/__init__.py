"""The REST API: one application, and one file for each JSON dialect."""
