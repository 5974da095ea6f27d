"""Pairs of source and target: the two readers, and batches as an encoder-decoder trains on them."""

import gzip
import json

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.data import TextPair, pairs, read_pairs, read_parallel
from lm_keras.errors import InputError
from lm_keras.text import CharTokenizer

TOKENIZER = CharTokenizer.train(["abcdefgh "])
PAIRS = [TextPair("ab cd", "dc ba"), TextPair("a", "h"), TextPair("abc", "cb")]


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return path


# === Files ===


def test_tables_and_json_lines_give_the_same_pairs(tmp_path):
    rows = [("Ein Hund.", "A dog."), ('Er sagt "ja".', "He says yes."), ("猫", "cat")]
    table = write(tmp_path / "x.tsv", "source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    lines = write(tmp_path / "x.jsonl", "".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in rows))
    bare = write(tmp_path / "x.txt", "".join(f"{a}\t {b}\textra\n" for a, b in rows))
    expected = [TextPair(*row) for row in rows]
    assert read_pairs(table, quotes=False) == expected
    assert read_pairs(lines) == expected
    assert read_pairs(bare, 0, 1, delimiter="\t", quotes=False) == expected
    assert read_pairs(table, "target", "source", quotes=False) == [TextPair(b, a) for a, b in rows]


def test_lines_of_two_files_belong_together(tmp_path):
    german, english = tmp_path / "x.de.gz", write(tmp_path / "x.en", "A dog.\r\nA cat.\r\n")
    german.write_bytes(gzip.compress(b"Ein Hund.\nEine Katze."))
    assert read_parallel(german, english) == [TextPair("Ein Hund.", "A dog."), TextPair("Eine Katze.", "A cat.")]
    longer = write(tmp_path / "y.en", "1\n2\n3\n")
    with pytest.raises(InputError, match=r"y\.en has more than the 2 lines of .*x\.de"):
        read_parallel(german, longer)


def test_an_empty_side_is_an_error_that_says_where_or_is_left_out(tmp_path):
    source, target = write(tmp_path / "s", "a\nb\nc\n"), write(tmp_path / "t", "1\n \n3\n")
    with pytest.raises(InputError, match="line 2: the target is empty"):
        read_parallel(source, target)
    assert read_parallel(source, target, skip_empty=True) == [TextPair("a", "1"), TextPair("c", "3")]
    table = write(tmp_path / "x.csv", "source,target\n,b\n")
    with pytest.raises(InputError, match="row 1: the source is empty"):
        read_pairs(table)
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(table, skip_empty=True)


@pytest.mark.parametrize(
    "content, columns, message",
    [
        ("source,target\na\n", ("source", "target"), "line 2: 1 fields"),
        ("de,en\na,b\n", ("source", "target"), "no column 'source'.*source='category'"),
        ("source,target\na,b\n", ("source", "source"), "names of two columns"),
        ("source,target\na,b\n", (0, "target"), "names of two columns"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, content, columns, message):
    with pytest.raises(InputError, match=message):
        read_pairs(write(tmp_path / "x.csv", content), *columns)


# === Batches ===


def rows_of(dataset):
    """The pairs in the batches of a dataset, as text, and the widths of the batches."""
    found, widths = [], []
    for x, y in dataset:
        source, target, labels = x["source_ids"].numpy(), x["target_ids"].numpy(), y.numpy()
        assert source.dtype == target.dtype == labels.dtype == np.int32 and target.shape == labels.shape
        widths.append((source.shape[1], target.shape[1]))
        for s, t, after in zip(source, target, labels, strict=True):
            s, t, after = (row[row >= 0].tolist() for row in (s, t, after))
            assert t[0] == TOKENIZER.bos_id and t[1:] == after[: len(t) - 1] and len(after) == len(t)
            ended = after[-1] == TOKENIZER.eos_id
            found.append((TOKENIZER.decode(s), TOKENIZER.decode(after[:-1] if ended else after), ended))
    return found, widths


def test_a_target_is_read_from_its_begin_mark_and_learned_to_its_end_mark():
    found, widths = rows_of(pairs(PAIRS, None, TOKENIZER, batch_size=2, shuffle=False))
    assert sorted(found) == sorted((*pair, True) for pair in PAIRS)
    assert widths == [(4, 4), (8, 8)]  # the short ones together, each width a multiple of four


def test_long_texts_are_cut_and_a_cut_target_has_no_end_to_be_learned():
    found, _ = rows_of(
        pairs(["abcdef", "a"], ["hgfedc", "b"], TOKENIZER, max_source_tokens=3, max_target_tokens=4, shuffle=False)
    )
    assert found == [("a", "b", True), ("abc", "hgfe", False)]


def test_every_epoch_has_every_pair_once():
    rng = np.random.default_rng(0)
    made = [tuple("".join(rng.choice(list("abc h"), rng.integers(0, 12))) for _ in range(2)) for _ in range(41)]
    dataset = pairs(made, None, TOKENIZER, batch_size=4, seed=3)
    epochs = [rows_of(dataset)[0] for _ in range(2)]
    for found in epochs:
        assert sorted(found) == sorted((*pair, True) for pair in made)
    assert epochs[0] != epochs[1]


def test_a_model_trains_on_them():
    model = lk.models.build_seq2seq_transformer(
        TOKENIZER.vocab_size, hidden_dim=16, num_layers=1, num_heads=2, share_embeddings=True, seed=0
    )
    history = lk.fit(
        model,
        pairs(PAIRS, None, TOKENIZER, batch_size=3),
        config=lk.TrainingConfig(epochs=30, learning_rate=0.03, warmup_steps=0),
        loss=lk.losses.CrossEntropy(label_smoothing=0.05),
    ).history
    assert history["loss"][-1] < 0.6 < history["loss"][0]  # 0.05 spread over 260 words costs 0.48 nats at least
    assert "perplexity" not in history
    # What is measured is not smoothed: the nats of the labels, as without it.
    measured = lk.evaluate(model, pairs(PAIRS, None, TOKENIZER, batch_size=1, shuffle=False))
    assert measured["loss"] < history["loss"][-1] and measured["tokens"] == sum(len(p.target) + 1 for p in PAIRS)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["a"], ["b", "c"], TOKENIZER), "got 1 sources and 2 targets"),
        ((["a"], None, TOKENIZER), "source 0 is 'a'; give its target, too"),
        (([("a", 3)], None, TOKENIZER), r"source 0 is \('a', 3\)"),
        (("a", "b", TOKENIZER), "lists of strings, got one string"),
        (([], [], TOKENIZER), "there is no source"),
        ((["a"], ["b"]), "needs a tokenizer"),
    ],
)
def test_what_is_no_pair_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        pairs(*arguments)
