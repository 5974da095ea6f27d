"""A text from another text: the decoding loop over encoder and decoder, against the whole model."""

import numpy as np
import pytest

import lm_keras as lk

KINDS = ["seq2seq_lstm", "seq2seq_transformer"]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_the_likeliest_word_of_the_whole_model_each_time(kind, task, passages):
    bundle = task(kind)
    source_of, target = bundle.source_tokenizer.encode, bundle.target_tokenizer
    sources = [text[:40] for text in passages[2:]]
    made = bundle.generate(sources, max_new_tokens=4)
    assert len({one.text for one in made}) > 4
    for source, one in zip(sources, made, strict=True):
        ids, log_probs = [target.bos_id], []
        while len(ids) <= 4:
            inputs = {
                "source_ids": np.array([source_of(source) or [-1]], "int32"),
                "target_ids": np.array([ids], "int32"),
            }
            logits = np.asarray(bundle.model(inputs), "float64")[0, -1]
            allowed = logits.copy()
            allowed[[i for i in (target.pad_id, target.unk_id) if i is not None]] = -np.inf
            word = int(allowed.argmax())
            if word == target.eos_id:
                break
            ids.append(word)
            log_probs.append(logits[word] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
        assert one.token_ids == ids[1:]
        assert one.log_probs == pytest.approx(log_probs, abs=1e-4)
        assert one.text == target.decode(ids[1:], ids[0])


@pytest.mark.parametrize("kind", ["pointer_generator", *KINDS])
def test_beams_samples_and_streams(kind, task, passages):
    bundle = task(kind)
    source = passages[2]
    (greedy,) = bundle.generate(source, max_new_tokens=8)
    beams = bundle.generate(source, max_new_tokens=8, num_beams=5, num_return_sequences=3)
    assert [b.score for b in beams] == sorted((b.score for b in beams), reverse=True)
    assert len({b.text for b in beams}) == 3
    samples = bundle.generate([source] * 6, max_new_tokens=8, temperature=1.0, seed=3)
    assert len({s.text for s in samples}) > 3
    assert samples == bundle.generate([source] * 6, max_new_tokens=8, temperature=1.0, seed=3)
    assert "".join(bundle.stream(source, max_new_tokens=8)) == greedy.text
    (other,) = bundle.generate(source, max_new_tokens=8, repetition_penalty=50.0)
    assert len(set(other.token_ids)) == len(other.token_ids)  # no word of the target twice


def test_what_lm_options_refuse_is_refused_here(task):
    with pytest.raises(lk.InputError, match="temperature is -1"):
        task("seq2seq_lstm").generate("a", temperature=-1)
    with pytest.raises(lk.InputError, match="give strings"):
        task("seq2seq_lstm").generate([3])
