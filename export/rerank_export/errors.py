"""Why a model cannot be exported."""


class ExportFailed(Exception):
    """One line for a person: what is wrong, and what to do."""


def one_line(error: Exception) -> str:
    """The first paragraph of what a foreign error says, as part of a line of ours; advice comes in the others."""
    return " ".join(str(error).strip().partition("\n\n")[0].split()).rstrip(".")
