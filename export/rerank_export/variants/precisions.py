"""The precisions that a bundle can have graphs for."""

from rerank_export.errors import ExportFailed

FP32, FP16, INT8 = "fp32", "fp16", "int8"
PRECISIONS = (FP32, FP16, INT8)


def parse_precisions(text: str) -> frozenset[str]:
    """Parse the value of --precisions, a list separated by commas.

    Raises:
        ExportFailed: a precision is unknown, or the list has neither fp32 nor fp16, so there is no reference graph.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PRECISIONS)):
        raise ExportFailed(f"--precisions {text!r}: unknown {', '.join(unknown)}; choose from {', '.join(PRECISIONS)}")
    if not {FP32, FP16} & set(names):
        raise ExportFailed(f"--precisions {text!r} has neither {FP32} nor {FP16}: add one for the reference graph")
    return frozenset(names)
