"""Why a model cannot be exported."""


class ExportFailed(Exception):
    """One line for a person: what is wrong, and what to do."""
