"""The REST API: one application, with one module for each JSON dialect."""
