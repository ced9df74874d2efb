"""A small model whose scores can be computed by hand."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rerank_service.encoding.template import Template
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.models.files import WEIGHTS
from rerank_service.models.manifest import Manifest, Variant

WORDS = 100
"""The small model knows the words "0" to "99". The logit of a document is the sum of its numbers."""
_FIRST = 4
"""Token id of the word "0"; lower ids are special tokens."""
NAN = "nan"
"""A word that makes the logit of a pair NaN."""
BOOM = "boom"
"""A word that makes ONNX Runtime fail on the batch."""


def logit(document: str) -> float:
    """Return the logit that the small model gives to a document of numbers."""
    return float(sum(int(word) for word in document.split() if word.isdigit()))


def _tokenizer() -> Tokenizer:
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3}
    vocabulary |= {str(number): _FIRST + number for number in range(WORDS)}
    vocabulary |= {NAN: _FIRST + WORDS, BOOM: _FIRST + WORDS + 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def _graph() -> onnx.ModelProto:
    """Return a graph that sums the value of each document token from a table, and adds 0 / (1 - is any NAN)."""
    worth = [0.0] * _FIRST + [float(number) for number in range(WORDS)] + [0.0]  # the table has no entry for BOOM
    isnan = [0.0] * (_FIRST + WORDS) + [1.0]
    nodes = [
        helper.make_node("Gather", ["worth", "input_ids"], ["worths"]),
        helper.make_node("Mul", ["attention_mask", "token_type_ids"], ["counted"]),
        helper.make_node("Cast", ["counted"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["worths", "weight"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["sum"], keepdims=1),
        helper.make_node("Gather", ["isnan", "input_ids"], ["nans"]),
        helper.make_node("ReduceMax", ["nans", "axis"], ["any"], keepdims=1),
        helper.make_node("Sub", ["one", "any"], ["divisor"]),
        helper.make_node("Div", ["zero", "divisor"], ["nothing"]),
        helper.make_node("Add", ["sum", "nothing"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("worth", TensorProto.FLOAT, [len(worth)], worth),
        helper.make_tensor("isnan", TensorProto.FLOAT, [len(isnan)], isnan),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 1])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_small_model(
    folder: Path, *, template: Template | None = None, broken_int8: bool = False, weights_beside: bool = False
) -> Bundle:
    """Write the bundle of the small model. With a template, all tokens have type 0, and the logit sums the whole pair.
    With `broken_int8`, the bundle has an int8 graph that loads but fails when it runs. With `weights_beside`, the table
    is in model.onnx.data, which ONNX Runtime maps into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = _graph()
    if template is not None:
        graph.graph.node[1].input[1] = "attention_mask"
        del graph.graph.input[2]
    table = graph.graph.initializer[0]
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table), table.name))  # only raw data can be beside it
    onnx.save_model(
        graph, folder / "model.onnx", save_as_external_data=weights_beside, location=WEIGHTS, size_threshold=0
    )
    _tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"architectures": ["Small"], "id2label": {"0": "relevance"}}')
    variants = [Variant(file="model.onnx", precision="fp32", weights="fp32")]
    if broken_int8:
        graph.graph.initializer[0].CopyFrom(helper.make_tensor("worth", TensorProto.FLOAT, [1], [0.0]))
        onnx.save(graph, folder / "broken.onnx")
        variants.append(Variant(file="broken.onnx", precision="int8", weights="int8", provider="cpu"))
    manifest = Manifest(
        name="small", source="tests", max_tokens=32, pad_id=0, template=template, variants=tuple(variants), files={}
    )
    return write_manifest(folder, manifest)


def set_pair_format(folder: Path, pair: str) -> None:
    """Change the pair format of a folder's tokenizer, such as "[CLS] $A [SEP] $B:1"."""
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(path)
