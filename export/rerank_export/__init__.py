"""Export a Hugging Face reranker to a bundle and compare both. Only this package uses torch.

exporter.py          START HERE: validate -> fetch -> inspect -> build -> verify -> publish
command.py           the `rerank export` command around it
source/              the model's files: a local folder, or a download from the Hugging Face hub
scoring/             how the model scores a pair: head, template, answer tokens, activation
graph/               the model as an ONNX graph; passes/ makes the graph cheaper
variants/            the fp16 and int8 graphs beside the reference graph
gate/                each graph compared with PyTorch, with tolerances, and report.json
bundle/              the folder that is written: built in a work folder, published as a whole
"""
