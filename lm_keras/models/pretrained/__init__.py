"""Checkpoints of others: GPT-2, BERT and Llama in Hugging Face's files, Llama in GGUF."""
