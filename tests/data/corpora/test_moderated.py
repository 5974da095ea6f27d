"""The sets for moderation, on small samples of their files."""

import lm_keras as lk
from lm_keras.data import FunctionalCase
from lm_keras.data.corpora import moderated


def test_tweets_in_a_file_whose_quotes_are_not_closed():
    content = (
        ",count,hate_speech,offensive_language,neither,class,tweet\n"
        "0,3,0,0,3,2,!!! RT @user: clean &amp; tidy\n"
        '1,3,0,3,0,1,"""quoted, of\ntwo lines"" <url>\n'
        '2,3,0,3,0,1,"""closed"""\n'
        "25296,6,5,1,0,0,1,2,3 &#8220;last&#8221;\n"
    )
    parts = {split: moderated.read_tweets(content, split) for split in lk.data.splits("hate-offensive")}
    assert sorted(record for part in parts.values() for record in part) == [
        ("!!! RT @user: clean & tidy", 2),
        ('"closed"', 1),
        ('"quoted, of two lines" <url>', 1),
        ("1,2,3 “last”", 0),
    ]
    assert lk.data.classes("hate-offensive") == ("hate", "offensive", "neither")


def test_a_tweet_and_its_copies_are_in_one_part():
    assert moderated.split_of("So   GOOD!! <url>") == moderated.split_of("RT @user: so good") == "train"
    parts = [moderated.split_of(f"tweet {i}") for i in range(2000)]
    counts = [parts.count(split) for split in ("train", "validation", "test")]
    assert [round(count / 2000, 1) for count in counts] == [0.8, 0.1, 0.1]
    assert parts[:6] == [moderated.split_of(f"TWEET {i}.") for i in range(6)]


def test_functional_cases():
    content = (
        ",functionality,case_id,test_case,label_gold,target_ident,direction,focus_words,focus_lemma,ref_case_id,"
        "ref_templ_id,templ_id,case_templ\n"
        "0,derog_neg_emote_h,1,I hate women. ,hateful,women,general,hate,hate,,,1,I hate [IDENTITY_P].\n"
        '1,target_obj_nh,2932,"Filthy, these sheets. ",non-hateful,,-,filthy,filthy,,35,596,"Filthy, these sheets."\n'
    )
    assert moderated.read_functional_cases(content, "test") == [
        FunctionalCase("I hate women.", 0, "derog_neg_emote_h", "women", "I hate [IDENTITY_P]."),
        FunctionalCase("Filthy, these sheets.", 1, "target_obj_nh", "", "Filthy, these sheets."),
    ]
