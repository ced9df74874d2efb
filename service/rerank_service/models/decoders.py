"""Decoders: models that are trained on a prompt, which neither config.json nor the tokenizer states.

The pair format of a decoder's tokenizer is that of its base model, which was never trained on pairs. So it is no
evidence for the reranker's prompt, even if it puts a token between the texts.
"""

import re

DECODER_TYPES = frozenset(
    (
        *("apertus", "arcee", "aria_text", "bamba", "biogpt", "bitnet", "bloom", "blt", "code_llama", "codegen"),
        *("cohere", "cohere2", "cpmant", "ctrl", "dbrx", "deepseek_v2", "deepseek_v3", "diffllama", "doge", "dots1"),
        *("emu3", "ernie4_5", "ernie4_5_moe", "exaone4", "falcon", "falcon_h1", "falcon_mamba", "flex_olmo", "gemma"),
        *("gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "glm", "glm4", "glm4_moe", "gpt-sw3", "gpt2"),
        *("gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gpt_oss", "gptj", "granite", "granitemoe"),
        *("granitemoehybrid", "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "jamba", "jetmoe"),
        *("lfm2", "llama", "llama4", "llama4_text", "llama_bidirec", "longcat_flash", "mamba", "mamba2", "minicpm"),
        *("minimax", "ministral", "mistral", "mixtral", "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2"),
        *("olmo3", "olmoe", "open-llama", "openai-gpt", "opt", "persimmon", "phi", "phi3", "phi4_multimodal"),
        *("phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next", "recurrent_gemma", "rwkv", "seed_oss"),
        *("smollm3", "stablelm", "starcoder2", "transfo-xl", "vaultgemma", "xglm", "xlstm", "zamba", "zamba2"),
    )
)
"""`model_type` of the decoders of transformers, and of decoders that bring their own code. A test compares the list
with transformers."""
_FAMILIES = re.compile(r"(Code)?Llama|Mi[sx]tral|Ministral|Qwen|Gemma|Phi\d|SmolLM|MiniCPM")
"""Beginnings of class names. A class of another type that starts so is derived from that decoder, such as
LlamaBidirectionalForSequenceClassification."""
_GENERATOR = "ForCausalLM"


def is_decoder(model_type: str | None, architecture: str) -> bool:
    """Return whether a model is a decoder, by `model_type` and the first of `architectures` in config.json."""
    return model_type in DECODER_TYPES or architecture.endswith(_GENERATOR) or _FAMILIES.match(architecture) is not None
