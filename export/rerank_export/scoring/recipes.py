"""Recipes: templates and answer tokens of rerankers that publish them only in their own code or on their model card.

This module has data only: recipe.py explains the fields, and recipe_choice.py finds the recipe of a model. A family
gets a recipe if its sources agree on the prompt.
"""

from rerank_export.scoring.recipe import PublishedPrompt, Recipe, UnsupportedFamily
from rerank_service.encoding.template import Template

_CHAT_USER_ENDS = "<|im_end|>\n<|im_start|>assistant\n"
_QWEN3_SYSTEM = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN3_ENDS = f"{_CHAT_USER_ENDS}<think>\n\n</think>\n\n"
_MONOT5 = Template(before=("Query: {query}",), document="Document: {document}", after=("Relevant:", "</s>"))
_MONOT5_PROMPT = PublishedPrompt("Query: {query} Document: {document} Relevant:", special_tokens=True)
_PYGAGGLE = (
    "https://github.com/castorini/pygaggle/blob/master/pygaggle/rerank/transformer.py",
    "https://github.com/castorini/pygaggle/blob/master/pygaggle/model/tokenize.py",
)

RECIPES = (
    # format_instruction, prefix, suffix, max_length. Versions with a one-label head use the same prompt
    Recipe(
        name="qwen3-reranker",
        models=r"qwen3-reranker-(0\.6|4|8)b",
        kinds=("qwen3",),
        sources=(
            "https://huggingface.co/Qwen/Qwen3-Reranker-0.6B",
            "https://huggingface.co/tomaarsen/Qwen3-Reranker-0.6B-seq-cls",
        ),
        template=Template(
            before=(_QWEN3_SYSTEM, "<Instruct>: {instruction}\n<Query>: {query}\n"),
            document="<Document>: {document}",
            after=(_QWEN3_ENDS,),
            instruction="Given a web search query, retrieve relevant passages that answer the query",
        ),
        published=PublishedPrompt(
            f"{_QWEN3_SYSTEM}<Instruct>: {{instruction}}\n<Query>: {{query}}\n<Document>: {{document}}{_QWEN3_ENDS}"
        ),
        yes="yes",
        no="no",
        max_tokens=8192,
    ),
    # prepare_inputs, concat_input_ids, forward: the parts are tokenized one by one
    Recipe(
        name="mxbai-rerank-v2",
        models=r"mxbai-rerank-(base|large)-v2",
        kinds=("qwen2",),
        sources=("https://github.com/mixedbread-ai/mxbai-rerank/blob/main/mxbai_rerank/mxbai_rerank_v2.py",),
        template=Template(
            before=(
                "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
                "<|im_start|>user\n",
                "instruction: {instruction}\n",
                "query: {query}",
                "\n",
            ),
            document="document: {document}",
            after=(
                "\n",
                "You are a search relevance expert who evaluates how well documents match search queries. For each "
                "query-document pair, carefully analyze the semantic relationship between them, then provide your "
                "binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:",
                _CHAT_USER_ENDS,
            ),
        ),
        yes="1",
        no="0",
        max_tokens=8192,
    ),
    # the parts are tokenized one by one. The score is the logit of "Yes" alone; 1024 is the limit of get_inputs on the
    # model card. The pattern excludes the layerwise and lightweight models
    Recipe(
        name="bge-reranker-v2-gemma",
        models=r"bge-reranker-v2-gemma(-seq-cls)?$",
        kinds=("gemma",),
        sources=(
            "https://github.com/FlagOpen/FlagEmbedding/blob/master/FlagEmbedding/inference/reranker/decoder_only/base.py",
            "https://huggingface.co/BAAI/bge-reranker-v2-gemma",
        ),
        template=Template(
            before=("<bos>", "A: {query}", "\n"),
            document="B: {document}",
            after=(
                "\n",
                "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
                "providing a prediction of either 'Yes' or 'No'.",
            ),
        ),
        yes="Yes",
        max_tokens=1024,
    ),
    # prompt_template on the card. NIM's llama-3.2-nv-rerankqa-1b-v2 has the same weights. The tokenizers of Llama 3
    # begin a word with the space before it, so that the space before "passage" belongs to the document's text
    Recipe(
        name="nemotron-rerank",
        models=r"nemotron-rerank-(?!vl)|nv-rerankqa",
        kinds=("llama_bidirec",),
        sources=(
            "https://huggingface.co/nvidia/llama-nemotron-rerank-1b-v2",
            "https://github.com/vllm-project/vllm/blob/main/examples/pooling/score/template/nemotron-rerank.jinja",
            "https://github.com/NVIDIA/nv-ingest/blob/main/nim/nvidia/llama-3.2-nv-rerankqa-1b-v2/README.md",
        ),
        template=Template(
            before=("<|begin_of_text|>", "question:{query} \n \n"),
            document=" passage:{document}",
        ),
        published=PublishedPrompt("question:{query} \n \n passage:{document}", special_tokens=True),
        max_tokens=8192,
    ),
    # format_pointwise_datapoints: the query is the system's message, the document the user's. Its code also removes
    # blanks at the ends of both, cuts them by characters, and divides the logit by 5 before the sigmoid
    Recipe(
        name="zerank",
        models=r"zerank-[12]",
        kinds=("qwen3",),
        sources=(
            "https://huggingface.co/zeroentropy/zerank-1-small/blob/main/modeling_zeranker.py",
            "https://github.com/vllm-project/vllm/blob/main/examples/pooling/score/template/zerank2.jinja",
        ),
        template=Template(
            before=("<|im_start|>system\n{query}<|im_end|>\n",),
            document="<|im_start|>user\n{document}",
            after=(_CHAT_USER_ENDS,),
        ),
        published=PublishedPrompt(
            f"<|im_start|>system\n{{query}}<|im_end|>\n<|im_start|>user\n{{document}}{_CHAT_USER_ENDS}"
        ),
        yes="Yes",
    ),
    # prediction_tokens: the words depend on the training. Excluded: duoT5 compares two documents, and mt5-3B and -13b
    # have other words
    Recipe(
        name="monot5",
        models=r"monot5-",
        kinds=("t5",),
        sources=_PYGAGGLE,
        template=_MONOT5,
        published=_MONOT5_PROMPT,
        yes="true",
        no="false",
        max_tokens=512,
    ),
    Recipe(
        name="mt5-msmarco",
        models=r"mt5-base-(en-|en-pt-|multi-)?ms?marco",
        kinds=("mt5",),
        sources=_PYGAGGLE,
        template=_MONOT5,
        published=_MONOT5_PROMPT,
        yes="yes",
        no="no",
        max_tokens=512,
    ),
    Recipe(
        name="ptt5-msmarco",
        models=r"ptt5-base-(en-)?pt-msmarco",
        kinds=("t5",),
        sources=_PYGAGGLE,
        template=_MONOT5,
        published=_MONOT5_PROMPT,
        yes="sim",
        no="não",
        max_tokens=512,
    ),
)

UNSUPPORTED = (
    UnsupportedFamily(
        models=r"ctxl-rerank",
        reason="has a prompt with the document before the query, and the server writes the query first",
        source="https://huggingface.co/ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b",
    ),
    UnsupportedFamily(
        models=r"jina-reranker-v3",
        reason="scores all documents of a request in one prompt, and the server scores pairs",
        source="https://huggingface.co/jinaai/jina-reranker-v3",
    ),
)
