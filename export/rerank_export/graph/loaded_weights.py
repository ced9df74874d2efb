"""Load a model by transformers, and check its weights."""

from collections.abc import Mapping
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.source.model_config import check_trust
from rerank_export.source.model_source import ModelSource


def load_model(source: ModelSource, model_class: Any, **options: Any) -> Any:
    """Load a model in fp32 for inference. `model_class` is an auto class of transformers, `options` are its own.

    Raises:
        ExportFailed: weights are missing or not finite.
    """
    import torch

    model, loading = model_class.from_pretrained(
        source.folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=source.trusted, **options
    )
    _check_loaded(source, loading)
    _check_finite(source, model)
    return model.eval()


def _check_loaded(source: ModelSource, loading: Mapping[str, Any]) -> None:
    """Check that the files hold exactly the weights of the model class.

    `loading` is the info of `from_pretrained(…, output_loading_info=True)`.

    Raises:
        ExportFailed: weights are missing, which transformers would initialize at random; or the model's own code
            defines other weights and was not run.
    """
    missing = loading["missing_keys"]
    if missing or loading["unexpected_keys"]:
        check_trust(source)
    if missing:
        raise ExportFailed(f"{source.id} lacks the weights {', '.join(sorted(missing))}: fetch a complete model")


def _check_finite(source: ModelSource, model: Any) -> None:
    """Check that no weight is NaN or infinite: a text that uses it would have no score.

    Raises:
        ExportFailed: a weight is not finite; the message names up to three tensors.
    """
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        shown = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
        raise ExportFailed(
            f"{source.id} has weights that are NaN or infinite ({shown}): fetch it again, or another revision"
        )
