"""Makes tests/golden: small checkpoints that `transformers` wrote, with their logits and token ids.

python tools/make_golden.py tests/golden    (needs torch, transformers, safetensors; the tests need none of them)

Each folder holds what `save_pretrained` writes for a randomly initialised model, a tokenizer trained on a few lines,
and expected.safetensors: ids and what the model made of them, computed from the stored (rounded) weights in float32.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertTokenizerFast,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

TEXTS = [
    "The capital of France is Paris, and the capital of Spain is Madrid.",
    "It was 1984; they're sure we'll see 12,345 of them, aren't they?",
    "Naïve café owners in Zürich don't say 你好, they wave 🙂.",
    "  two  spaces,\ttabs\n\nand new lines \n",
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(before, vocab_size, special):
    """A byte-level BPE tokenizer of `tokenizers`; `before`: its pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = before, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def gpt2_tokenizer(folder):
    """vocab.json and merges.txt alone, as the first release had them."""
    before = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level(before, 280, []).model.save(str(folder))
    path = folder / "vocab.json"
    vocab = json.loads(path.read_text(encoding="utf-8"))
    vocab["<|endoftext|>"] = len(vocab)
    path.write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")


def llama_tokenizer(folder):
    """tokenizer.json as Llama 3's: its cuts, a begin mark."""
    cuts = [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    tokenizer = byte_level(pre_tokenizers.Sequence(cuts), 300, ["<|begin|>", "<|end|>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", 0)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>")
    fast.save_pretrained(folder)


def bert_tokenizer(folder):
    """vocab.txt alone."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS[:2], trainer)
    tokenizer.model.save(str(folder))


def expected_ids(folder, kind=AutoTokenizer):
    """Token ids of TEXTS by the reference, without marks, as ids.json."""
    tokenizer = kind.from_pretrained(folder)
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    content = json.dumps({"texts": TEXTS, "ids": rows}, ensure_ascii=False)
    (folder / "ids.json").write_text(content + "\n", encoding="utf-8")


def shake(model):
    """Weights far from their start: with zero biases and unit norms a wrong name could go unseen."""
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def causal(folder, model, dtype, **options):
    shake(model).to(dtype).save_pretrained(folder, **options)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(0, model.config.vocab_size, (2, 10))
    logits = model(ids).logits
    save_file({"ids": ids.int(), "logits": logits}, folder / "expected.safetensors")


@torch.no_grad()
def main(target):
    target = Path(target)
    folders = {name: target / name for name in ("gpt2", "bert", "llama", "qwen2")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    folder = folders["gpt2"]
    gpt2_tokenizer(folder)
    sizes = {"vocab_size": 281, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 4}
    causal(folder, GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=280, eos_token_id=280)), torch.float16)

    folder = folders["llama"]  # grouped queries, Llama 3's slowed rotation, untied, bfloat16, in several files
    llama_tokenizer(folder)
    sizes = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    rope = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope |= {"original_max_position_embeddings": 8, "rope_theta": 500.0}
    sizes |= {"num_key_value_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}
    config = LlamaConfig(**sizes, rope_parameters=rope, head_dim=8, bos_token_id=0, eos_token_id=1)
    causal(folder, LlamaForCausalLM(config), torch.bfloat16, max_shard_size="12KB")

    sizes |= {"vocab_size": 40}  # biases, tied, no tokenizer
    config = Qwen2Config(**sizes, tie_word_embeddings=True, rope_parameters={"rope_type": "linear", "factor": 2.0})
    causal(folders["qwen2"], Qwen2ForCausalLM(config), torch.float32)

    folder = folders["bert"]  # with the heads of pre-training
    bert_tokenizer(folder)
    sizes = {"vocab_size": 150, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 40, "max_position_embeddings": 24}
    shake(BertForPreTraining(BertConfig(**sizes))).to(torch.float16).save_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(0, 150, (2, 20))
    segments, mask = (torch.arange(20) > 11).int().repeat(2, 1), torch.ones(2, 20, dtype=torch.int)
    mask[1, 15:] = 0
    made = model(input_ids=ids, token_type_ids=segments, attention_mask=mask)
    inputs = {"token_ids": ids.int(), "segment_ids": segments, "padding_mask": mask}
    outputs = {"sequence_output": made.last_hidden_state, "pooled_output": made.pooler_output}
    save_file({**inputs, **outputs}, folder / "expected.safetensors")

    for name, kind in {"gpt2": AutoTokenizer, "llama": AutoTokenizer, "bert": BertTokenizerFast}.items():
        expected_ids(folders[name], kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
