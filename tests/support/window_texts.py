"""Texts whose windows can be counted: ids that follow from the bytes, or numbers that say where they stand."""


class Bytes:
    """A tokenizer of UTF-8 bytes: id = byte + 1, eos = 0."""

    vocab_size, bos_id, eos_id = 257, 0, 0

    def encode_batch(self, texts):
        return [[byte + 1 for byte in text.encode()] for text in texts]


TEXTS = ["To be, or not to be", "是", "that is the question", "x" * 37]


class Numbers:
    """Texts of numbers: the ids say where they stand."""

    vocab_size, bos_id, eos_id = 1000, 0, 0

    def encode_batch(self, texts):
        return [[int(word) for word in text.split()] for text in texts]


NUMBERS = [" ".join(map(str, range(1, 401)))]


def order(dataset):
    """The first id of each row, in the order of the dataset."""
    return [row[0] for x, _ in dataset for row in x.numpy().tolist()]
