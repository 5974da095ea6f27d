"""How the file of each kind of set becomes records, on small samples of its format."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace

import pytest

from lm_keras.data import classes, load, locate
from lm_keras.data.corpora import evaluation, labels, questions, running_text, text_pairs
from lm_keras.data.corpora.corpus import mended
from lm_keras.data.corpora.registry import CORPORA
from lm_keras.errors import InputError


def test_news_reviews_and_messages():
    test = '"3","Fears","Unions at Turner\\Newall say \\$5 is ""too much""."\n"1","A, b","C"\n'
    sample = 'label,content\n4,"A second\\\\team, of rocketeers"\n2,Plain\n'
    assert labels.read_news(test, "test") == [('Unions at Turner Newall say $5 is "too much".', 2), ("C", 0)]
    assert labels.read_news(sample, "train") == [("A second team, of rocketeers", 3), ("Plain", 1)]
    hotels = 'label,review\n1,"近,但是""蔡陆线""好"\n0,\n0, 差 \n'
    assert labels.read_reviews(hotels, "all") == [('近,但是"蔡陆线"好', 1), ("差", 0)], "an empty review is no record"


def test_requests_have_the_domain_of_their_intent():
    content = {
        "train": [["pay it", "pay_bill"]],
        "val": [["my oil", "oil_change_how"], ["hi", "greeting"]],
        "test": [],
    }
    content |= {"oos_train": [["odd", "oos"]]}
    domains = {"banking": ["pay_bill"], "auto_and_commute": ["oil_change_how"], "small_talk": ["greeting"]}
    found = [
        labels.read_intents(json.dumps(content), json.dumps(domains), split) for split in ("train", "validation")
    ]
    assert found == [[("pay it", 0)], [("my oil", 1), ("hi", 2)]]
    assert len(classes("clinc150")) == 10


def test_relations_keep_the_places_of_the_entities():
    content = (
        '1\t"The <e1>author</e1> of a "keygen" uses a <e2>disassembler</e2>."\nInstrument-Agency(e2,e1)\nComment:\n\n'
        '2\t"A <e1>ridge</e1> uprises from the <e2>surge</e2>."\nOther\nComment: none\n\n'
    )
    first, second = labels.read_relations(content, "train")
    assert first.text == 'The author of a "keygen" uses a disassembler.'
    assert [first.text[slice(*place)] for place in (first.first, first.second)] == ["author", "disassembler"]
    assert [second.text[slice(*place)] for place in (second.first, second.second)] == ["ridge", "surge"]
    names = classes("semeval2010-task8")
    assert (names[first.label], names[second.label], len(names)) == ("Instrument-Agency(e2,e1)", "Other", 19)


def test_tags_become_bio():
    content = (
        "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nis VBZ I-VP O\n\nJohn N I-NP I-PER\nLeeds N B-NP B-PER\nof I I-PP O"
    )
    first, second = labels.read_tagged_words(content + "\n\n-DOCSTART- -X- -X- O\n\n", "train")
    assert first == (("EU", "is"), ("B-ORG", "O"), ("NNP", "VBZ"), ("B-NP", "B-VP"))
    assert second.tags == ("B-PER", "B-PER", "O") and second.chunks == ("B-NP", "B-NP", "B-PP")
    for old, new in [
        ("O I-A I-A O", "O B-A I-A O"),
        ("I-A I-B B-B I-B", "B-A B-B B-B I-B"),
        ("B-A I-A O I-A", "B-A I-A O B-A"),
    ]:
        assert " ".join(labels.bio(old.split())) == new == " ".join(labels.bio(new.split()))
    (sentence,) = labels.read_tagged_characters({"x.txt": "北\tB-LOC\n京\tI-LOC\n \tO\n\n"}, "all")
    assert (sentence.words, sentence.tags) == (("北", "京", " "), ("B-LOC", "I-LOC", "O"))
    assert classes("msra-ner") == ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER")


def test_answers_in_a_paragraph():
    asked = [
        {
            "question": " Where? ",
            "id": "a",
            "answers": [{"text": "France", "answer_start": 3}],
            "is_impossible": False,
        },
        {"question": "Why?", "id": "b", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "In"}]},
    ]
    data = {"data": [{"title": "The_Normans", "paragraphs": [{"context": "In France.", "qas": asked}]}]}
    where, why = questions.read_squad(json.dumps(data), "validation")
    assert where == ("In France.", "Where?", (("France", 3),), False, "The Normans", "a", ())
    assert where.context[3 : 3 + len("France")] == where.answers[0].text
    assert (why.answers, why.is_impossible) == ((), True)


def test_answers_in_words():
    head = "ArticleTitle\tQuestion\tAnswer\tDifficulty\tDifficulty\tArticleFile\n"
    first = head + "Gerald_Ford\tWas he active?\tNo\n\\n\thard\thard\ta10\nGerald_Ford\tWho?\tNULL\tNULL\tNULL\ta10\n"
    second = head + "Volta\tWho?\tA man\teasy\teasy\ta1\nVolta\tWho? \tR\udcf6ntgen\u0097\teasy\teasy\ta1\n"
    third = head + "Volta\tNULL\tNULL\tNULL\tNULL\ta1\nVolta\tWhen?\t\teasy\teasy\ta1\n"
    ford, volta = questions.read_articles(first, second, third, "all")
    assert (ford.context, ford.question, ford.title) == ("", "Was he active?", "Gerald Ford")
    assert ford.answers == (("No", None),)
    assert volta.answers == (("A man", None), ("Röntgen—", None)), "two people answered one question"
    assert mended("A–Z é\udc93") == "A–Z é“"


def test_stories():
    train = "1 Mary left.\n2 Where is Mary? |bathroom|1\n3 Ann came.\n4 Who? \tMary,Ann\t1 3\n"
    train += "1 Mice fly.\n2 Do they?\tno\t1\n"
    members = {f"t/en/qa{task}_{part}.txt": train for task in ("10_b", "2_a") for part in ("train", "test")}
    records = questions.read_stories({**members, "t/README.txt": "no task"}, "train-10k")
    assert [record.title for record in records] == ["qa2_a"] * 3 + ["qa10_b"] * 3
    first, second, third = records[:3]
    assert first == ("Mary left.", "Where is Mary?", (("bathroom", None),), False, "qa2_a", "", (0,))
    assert (second.context, second.answers[0].text, second.supporting) == (
        "Mary left.\nAnn came.",
        "Mary,Ann",
        (0, 1),
    )
    assert third.context == "Mice fly."


def test_conversations():
    talk = text_pairs.read_daily("Hey . __eou__ Who ? __eou__\nYes ! __eou__\n", "3 2 \n1\n", "0 6 \n4\n", "test")
    assert talk == [
        (("Hey .", "Who ?"), ("directive", "question"), ("no emotion", "surprise"), "", "en"),
        (("Yes !",), ("inform",), ("happiness",), "", "en"),
    ]
    films = text_pairs.read_replies("Yes - sure\u0097\nHello?\n\n", "No\x85\n \nWell.\n", "all")
    assert films == [(("Yes - sure—", "No…"), (), (), "", "en")], "a pair needs both sides"
    with pytest.raises(ValueError):
        text_pairs.read_replies("one\ntwo\n", "one\n", "all")
    yml = "categories:\n- x\nconversations:\n- - What year?\n  - '1963'\n  - No\n- - 你好\n  - |\n    a:\n      b\n"
    yml += "- no - turns\n"
    year, hello = text_pairs.read_conversations({"chinese/trivia.yml": yml}, "all")
    assert year == (("What year?", "1963", "No"), (), (), "trivia", "zh")
    assert hello.turns == ("你好", "a:\n  b")


def test_summaries():
    one = {
        "fname": "dev_0",
        "dialogue": "#Person1#: Hi.\n#Person2#: Hi.",
        "summary": "They meet.",
        "topic": "greeting",
    }
    assert text_pairs.read_dialogue_summaries(json.dumps(one) + "\n", "validation") == [
        (one["dialogue"], ("They meet.",), ("greeting",), None, "dev_0", (), ())
    ]
    three = {"fname": "test_0", "dialogue": "Hi."}
    three |= {f"{key}{number}": f"{key} {number}" for number in "123" for key in ("summary", "topic")}
    (record,) = text_pairs.read_dialogue_summaries(json.dumps(three), "test")
    assert record.summaries == ("summary 1", "summary 2", "summary 3") and record.topics[2] == "topic 3"
    abstract = {"source": ["A is  slow.\n", "B is fast."], "source_labels": [0, 1], "target": ["B", "b!"]}
    (record,) = text_pairs.read_abstracts(json.dumps(abstract | {"paper_id": "x7"}), "test")
    sentences = ("A is slow.", "B is fast.")
    assert record == ("A is slow. B is fast.", ("B", "b!"), (), None, "x7", sentences, (1,))
    doc = "<doc id={}>\n <human_label>{}</human_label>\n <summary>\n  {}\n </summary>\n"
    doc += " <short_text>\n  {}\n </short_text>\n</doc>\n"
    content = doc.format(0, 5, "标题", "正文 <b>") + doc.format(1, 1, "二", "三")
    assert text_pairs.read_headlines(content, "test") == [
        ("正文 <b>", ("标题",), (), 5, "0", (), ()),
        ("三", ("二",), (), 1, "1", (), ()),
    ]


def test_translations_and_hypotheses():
    assert text_pairs.read_translations("A man\nTwo \n", "Ein Mann\nZwei\n", "Un homme\nDeux\n", "train") == [
        ("A man", "Ein Mann", "Un homme"),
        ("Two", "Zwei", "Deux"),
    ]
    with pytest.raises(ValueError):
        text_pairs.read_translations("one\ntwo\n", "eins\n", "un\n", "train")
    scored = {"hyps": ["list flights", "lists"], "ref": "list flights", "id": "i1", "am_score": [-0.3, -0.5]}
    content = json.dumps(scored) + "\n" + json.dumps({"hyps": ["a"], "ref": "b"}) + "\n"
    assert text_pairs.read_hypotheses(content, "test") == [
        ("list flights", ("list flights", "lists"), (-0.3, -0.5), "i1"),
        ("b", ("a",), (), ""),
    ]


def test_word_pairs_and_analogies():
    content = "# from here\n# Word 1\tWord 2\tMean\nold\tnew\t1.58\ncarbon dating\tfossil\t10.00\n"
    assert running_text.read_word_pairs(content, "all") == [("old", "new", 1.58), ("carbon dating", "fossil", 10.0)]
    content = ": capitals\nAthens Greece Oslo Norway\n: gram1-adverb\ncalm calmly rapid rapidly\n"
    assert running_text.read_analogies(content, "all") == [
        ("capitals", "Athens", "Greece", "Oslo", "Norway"),
        ("gram1-adverb", "calm", "calmly", "rapid", "rapidly"),
    ]


def test_the_embedded_word_sets():
    similarity, similar, analogies = (load(name, "all") for name in ("wordsim353", "simlex999", "word-analogies"))
    assert (len(similarity), len(similar), len(analogies)) == (353, 999, 19_544)
    assert similarity[0] == ("love", "sex", 6.77) and similar[0] == ("old", "new", 1.58)
    assert all(0 <= pair.score <= 10 for pair in similarity + similar)
    assert len({analogy.section for analogy in analogies}) == 14
    assert sum(analogy.section.startswith("gram") for analogy in analogies) == 10_675
    with pytest.raises(InputError, match="wordsim353 has no split 'train'; choose from all"):
        load("wordsim353")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of this content in a data folder, and in the table their sha256."""
    monkeypatch.setenv("LM_KERAS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(name, **contents):
        corpus = CORPORA[name]
        (tmp_path / corpus.folder).mkdir()
        for file, content in contents.items():
            (tmp_path / corpus.folder / file).write_bytes(content)
        sha256 = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        monkeypatch.setitem(CORPORA, name, replace(corpus, sha256=sha256))
        return tmp_path / corpus.folder

    return put


@pytest.mark.parametrize(
    "name, file, content",
    [
        ("msra-ner", "dh_msra.txt.tar.xz", "京\tB-LOC\r\n\r\n北\tB-LOC\n"),
        (
            "chatterbot-corpus",
            "chatterbot_corpus_en_zh_fr_de.tar.gz",
            "conversations:\n- - a\n  - b\n- - c\n  - d\n",
        ),
    ],
)
def test_an_archive(folder, name, file, content):
    text, parent, stream = tarfile.TarInfo("english/x.yml"), tarfile.TarInfo("english"), io.BytesIO()
    text.size, parent.type = len(content.encode()), tarfile.DIRTYPE
    with tarfile.open(fileobj=stream, mode=f"w:{file[-2:]}") as archive:
        archive.addfile(parent)
        archive.addfile(text, io.BytesIO(content.encode()))
    packed = stream.getvalue()
    path = folder(name, **{file: packed}) / file
    assert locate(name) == path
    assert len(load(name, "all")) == 2
    path.write_bytes(packed[:-9])
    with pytest.raises(InputError, match=f"not the {name} that is expected"):
        load(name, "all")


def test_a_file_that_is_published_packed(folder):
    sides = {
        f"val.{language}.gz": gzip.compress(f"{language} 1\n{language} 2\n".encode())
        for language in ("en", "de", "fr")
    }
    folder("multi30k", **sides)
    assert load("multi30k", "validation") == [("en 1", "de 1", "fr 1"), ("en 2", "de 2", "fr 2")]
    with pytest.raises(InputError, match="multi30k is not on this machine .*lm-keras data fetch multi30k"):
        load("multi30k", "train")


def test_tables_have_a_path_and_no_texts(folder):
    path = folder("gpt2-bpe", **{"encoder.json": b"{}", "vocab.bpe": b"#version: 0.2\n"})
    assert locate("gpt2-bpe") == path
    with pytest.raises(InputError, match="gpt2-bpe holds no texts; read it by .*lk.text.BPETokenizer.from_files"):
        load("gpt2-bpe")


def test_sets_that_show_what_a_model_knows():
    items = '{"goal": "Open", "sol1": "Pull ", "sol2": "Eat"}\n{"goal": "", "sol1": "a", "sol2": "b"}\n'
    first, second = evaluation.read_solutions(items, "0\n1\n", "validation")
    assert (first, second) == (("Open", ("Pull ", "Eat"), 0), ("", ("a", "b"), 1))
    assert first.texts() == ["Open", "Pull ", "Eat"]
    assert evaluation.read_passages('{"text": "a\\n b"}\n{"text": "c"}\n', "test") == ["a\n b", "c"]
    line = {
        "sentence_good": "It is.",
        "sentence_bad": "It are.",
        "UID": "verb",
        "field": "f",
        "linguistics_term": "t",
    }
    members = {"__MACOSX/data/._a.jsonl": "\udcb0", "data/b.jsonl": "", "data/a.jsonl": json.dumps(line)}
    (pair,) = evaluation.read_minimal_pairs(members, "test")
    assert pair == ("It is.", "It are.", "verb", "f", "t") and pair.texts() == ["It is."]
