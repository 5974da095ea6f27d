"""Dialogue management: policies, turns against an oracle, exports, evaluation."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tasks import cnn_classifier, dialogue_manager, table_policy, tiny_lm

import lm_keras as lk
from lm_keras.tasks import DialogueManager, Policy, ScriptedDialogue, State, Transition
from lm_keras.tasks.dialogue_export import slots_as_json
from lm_keras.tasks.dialogue_metrics import PERSON
from lm_keras.text.tokenizers.chat.joined import joined

STATES = [State("hello", "For which day?"), State("check", "On {day}, right?"), State("done", "Until {day}!")]
STEPS = [
    Transition("hello", None, "check", needs=["day"]),
    Transition("check", "yes", "done"),
    Transition("check", "no", "hello", clears=["day"]),
]
SLOTS = {"day": {"Monday": ["Monday", "Mon"], "Tuesday": ["Tuesday"]}}
SAID = {
    "yes": ["yes", "yes please", "that is right", "right", "ok yes", "yes it is", "sure yes", "yes fine"],
    "no": ["no", "no thanks", "that is wrong", "wrong", "no it is not", "not right no", "no no", "wrong day"],
}


def policy(**changes):
    arguments = {"states": STATES, "transitions": STEPS, "start": "hello", "slots": SLOTS} | changes
    return Policy(**arguments)


@pytest.fixture(scope="module")
def acts():
    texts = [text for some in SAID.values() for text in some] * 6
    labels = [act for act, some in SAID.items() for _ in some] * 6
    sizes = {"embedding_dim": 16, "num_filters": 16, "kernel_sizes": (1, 2)}
    return lk.tasks.TextClassifier.train(texts, labels, encoder="cnn", epochs=8, learning_rate=0.02, seed=0, **sizes)


@pytest.fixture(scope="module")
def manager(acts):
    judge = lk.tasks.Moderator.of(words={"insults": ["fool"]})
    return DialogueManager.of(policy(), acts, moderator=judge, threshold=0.6)


# === Policies ===
def test_a_policy_takes_the_first_transition_that_fits():
    made = policy()
    assert made.next("hello", "yes", {"day"}).to == "check"
    assert made.next("hello", None, {"day"}).to == "check"  # any act, also none that is sure
    assert made.next("hello", "yes") is None and made.next("check", None, {"day"}) is None
    assert made.next("check", "no", {"day"}).to == "hello"
    assert made.greeting == "For which day?" and made.final == ["done"] and made.acts == ["yes", "no"]
    assert made.reply("check", {"day": "{x}"}) == "On {x}, right?"
    assert "check: On {day}, right?" in str(made) and "-> hello: no, forgets day" in str(made)
    assert "hello (start)" in str(made) and "done (end)" in str(made)


def test_a_policy_is_written_and_read(tmp_path):
    made = policy(fallback="Pardon?", hand_over="A moment.")
    made.save(tmp_path / "policy.json")
    assert Policy.load(tmp_path / "policy.json") == made
    content = json.loads((tmp_path / "policy.json").read_text())
    assert content["states"]["check"] == "On {day}, right?" and content["slots"] == SLOTS
    assert policy(slots={"day": ["Monday"]}).slots == {"day": {"Monday": ["Monday"]}}
    for change, said in [
        ({"format": "x"}, "no dialogue policy"),
        ({"more": 1}, "a policy has 'more'"),
        ({"states": ["hello"]}, "give states as"),
        ({"transitions": [{"from": "hello"}]}, "give states as"),
    ]:
        (tmp_path / "bad.json").write_text(json.dumps(content | change))
        with pytest.raises(lk.InputError, match=said):
            Policy.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "x"}, "start is 'x'"),
        ({"states": [*STATES, STATES[0]]}, "a name of its own"),
        ({"states": [*STATES, State("alone", "x")]}, "'alone' is not reached from 'hello'"),
        ({"states": []}, "there are 0 states"),
        ({"states": [*STATES[:2], State("done", "{time}")]}, "the slots are day"),
        ({"states": [*STATES[:2], State("done", "{day!r}")]}, "more than the name of a slot"),
        ({"states": [*STATES[:2], State("done", "{day")]}, "is no template"),
        ({"states": [State("hello", "{day}?"), *STATES[1:]]}, "hello says {day}, which may have no value"),
        ({"states": [*STATES[:2], State("done", " ")]}, "give the text that is said"),
        ({"transitions": [*STEPS, Transition("check", "yes", "hello")]}, "is never taken: check -> done: yes"),
        ({"transitions": [*STEPS, Transition("hello", "no", "done", ["day"])]}, "is never taken: hello -> check"),
        ({"transitions": [*STEPS, Transition("check", "x", "nowhere")]}, "'nowhere' is none of the states"),
        ({"transitions": [*STEPS, Transition("check", "x", "done", ["time"])]}, "'time' is none of the slots day"),
        ({"transitions": [*STEPS, Transition("check", "x", "done", "day")]}, "is no list of slots"),
        ({"transitions": [*STEPS, ("check", "x", "done")]}, "give lk.tasks.Transition"),
        ({"transitions": [Transition("hello", "go", "check"), *STEPS[1:]]}, "check says {day}, which may have no"),
        ({"slots": {"day": {"Monday": []}}}, "a text with a list of its words"),
        ({"slots": {"the day": ["Monday"]}}, "letters, digits and _"),
        ({"slots": {"day": "Monday"}}, "or a list of words"),
        ({"fallback": ""}, "fallback is ''"),
    ],
)
def test_what_is_no_policy_is_refused(changes, said):
    with pytest.raises(lk.InputError, match=said):
        policy(**changes)


def test_the_diagram_shows_states_and_counts():
    made = policy()
    texts = {text.get_text() for text in made.diagram().axes[0].texts}
    assert {"hello", "check", "done", "yes", "no", "any act"} <= texts
    texts = {text.get_text() for text in made.diagram({("hello", "check"): 7, ("check", PERSON): 3}).axes[0].texts}
    assert {"7", "0", "3", PERSON} <= texts and "yes" not in texts


# === Turns ===
def test_a_dialogue_to_its_end_and_back(manager):
    turns = manager.follow(["Mon!", "no", "Monday or Tuesday", "yes", "yes"])
    assert [turn.state for turn in turns] == ["check", "hello", "check", "done", "done"]
    assert [turn.slots for turn in turns] == [{"day": "Monday"}, {}, *[{"day": "Tuesday"}] * 3]
    assert turns[0].reply == "On Monday, right?" and turns[3].reply == turns[4].reply == "Until Tuesday!"
    assert not any(turn.handed_over or turn.reasons for turn in turns)
    assert turns[1].act == "no" and turns[1].probability >= 0.6


def test_what_is_not_understood_goes_to_a_person(manager):
    turns = manager.follow(["yes", "no", "yes", "Monday"])  # sure, and no day
    assert [turn.reasons for turn in turns] == [["no transition"]] * 2 + [["repeated"], ["handed over"]]
    assert turns[0].reply == f"{manager.policy.fallback} For which day?"
    assert [turn.handed_over for turn in turns] == [False, False, True, True]
    assert turns[2].reply == turns[3].reply == manager.policy.hand_over and turns[3].slots == {}
    unsure = manager.with_threshold(1.0).follow(["Monday", "yes"])
    assert [turn.state for turn in unsure] == ["check", "check"] and unsure[1].reasons == ["unsure"]
    assert unsure[1].handed_over and not unsure[0].handed_over  # a slot needs no act


def test_a_moderator_judges_turns_and_replies(manager, acts):
    turns = manager.follow(["Monday", "Yes, you FOOL", "yes"])
    assert turns[1].reply == manager.refusal and turns[1].reasons == ["user: word list: insults"]
    assert [turn.state for turn in turns] == ["check", "check", "done"]  # as if it had not been said
    judge = lk.tasks.Moderator.of(words=["until"])
    rude = DialogueManager.of(policy(), acts, moderator=judge)
    last = rude.follow(["Monday", "yes"])[-1]
    assert last.reply == rude.refusal and last.reasons == ["reply: word list: words"] and last.state == "done"


def test_the_history_is_a_list_or_a_conversation(manager, news):
    history = []
    assert [manager.reply(history, text).state for text in ("Tuesday", "yes")] == ["check", "done"]
    assert [message["content"] for message in history] == ["Tuesday", "On Tuesday, right?", "yes", "Until Tuesday!"]
    assert manager.chat(history[:-1]) == manager.follow(["Tuesday", "yes"])[-1]
    tokenizer = lk.text.BPETokenizer.train(news[:20], vocab_size=300)
    tokenizer.chat_template = lk.text.CHAT_TEMPLATES["chatml"]
    talk = lk.contexts.Conversation(tiny_lm("lstm", tokenizer, 0.4), max_new_tokens=3, temperature=0)
    assert manager.reply(talk, "Tuesday").slots == {"day": "Tuesday"}
    talk.say("Thank you")
    assert len(talk.messages) == 4 and talk.messages[1]["content"] == "On Tuesday, right?"
    for bad in (None, "Tuesday", ({},)):
        with pytest.raises(lk.InputError, match="history is a"):
            manager.reply(bad, "Tuesday")
    with pytest.raises(lk.InputError, match="the last one the user's"):
        manager.reply([{"role": "user", "content": "x"}], "y")


def test_parts_that_do_not_fit_are_refused(acts, news):
    with pytest.raises(lk.InputError, match="the policy has the act 'yes'"):
        DialogueManager.of(policy(), cnn_classifier(news[:20]))
    with pytest.raises(lk.InputError, match="slot LOC has no words, and there is no tagger"):
        DialogueManager.of(table_policy(), cnn_classifier(news[:20]))
    with pytest.raises(lk.InputError, match="give a Policy"):
        DialogueManager.of("policy.json", acts)
    with pytest.raises(lk.InputError, match="threshold is 2"):
        DialogueManager.of(policy(), acts, threshold=2)


# === In the graph ===
@pytest.fixture(scope="module")
def served(news):
    """A manager of random weights of all parts, its signature, and some texts of which each state has some."""
    made = dialogue_manager(news[:60])
    return made, made.signatures(), [" ".join(text.split()[i : i + 3]) for i, text in enumerate(news[:40])]


def same(served, chats):
    _, signatures, _ = served
    told = {"messages": chats}
    found = {
        name: value.numpy().tolist() for name, value in signatures.signatures["respond"](tf.constant(chats)).items()
    }
    wanted = signatures.answer("respond", told)
    for name, values in wanted.items():
        if name == "probability":
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
        else:
            got = [value.decode() if isinstance(value, bytes) else value for value in found[name]]
            assert got == values, name
    return wanted


def chat(texts):
    messages = [{"role": "user", "content": texts[0]}]
    for text in texts[1:]:
        messages += [{"role": "assistant", "content": "."}, {"role": "user", "content": text}]
    return joined(messages)


def test_the_graph_replays_what_python_does(served):
    rng = np.random.default_rng(0)
    chats = [chat(list(rng.choice(served[2], 1 + i % 6))) for i in range(48)]
    chats += [chat(["the police"]), *(chat([text] * (1 + i % 2)) for i, text in enumerate(served[2]))]
    chats += ["", "user", "assistant\x1fx", "system\x1fx", "user\x1fa\x1euser\x1fb", "system\x1fbe\x1euser\x1fthe"]
    wanted = same(served, chats)
    assert len(set(wanted["state"])) == 5 and {True, False} == set(wanted["handed_over"])
    reasons = {reason for row in wanted["reasons"] for reason in json.loads(row)}
    assert {"unsure", "repeated", "no transition", "handed over", "user: word list: news"} <= reasons
    assert wanted["reply"][-6:-1] == [""] * 5 and wanted["slots"][-1] != "{}"
    assert same(served, chats[-3:-1])["state"] == ["", ""]  # no row is a chat


TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["the", "of Paris", "fire", "\n \t", "🙂"]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(TEXT, min_size=1, max_size=4).map(chat) | TEXT, min_size=1, max_size=4))
def test_any_strings(served, chats):
    same(served, chats)


def test_values_are_escaped_as_json():
    values = {"a": 'x "y" \\ \n\x01 é', "b": "天"}
    assert json.loads(slots_as_json(values)) == values


def test_an_export_answers_alike_and_a_copy_too(manager, tmp_path):
    manager.save(tmp_path / "manager")
    copy = lk.tasks.load(tmp_path / "manager")
    assert copy.policy == manager.policy and copy.follow(["Mon", "no"]) == manager.follow(["Mon", "no"])
    assert lk.check(lk.export(copy, tmp_path / "exported")) == []


# === Evaluation ===
def test_scripts_are_measured(manager):
    scripts = [
        ScriptedDialogue(["Monday", "yes"], "done", {"day": "Monday"}),
        ScriptedDialogue(["Mon", "no", "Tuesday"], "check", {"day": "Tuesday"}),
        ScriptedDialogue(["yes", "no", "yes", "yes"], handed_over=True),
        ScriptedDialogue(["yes", "no", "yes"], "done"),
        ScriptedDialogue(["Monday"], "check", {"day": "Tuesday"}),
    ]
    report = manager.evaluate(scripts)
    assert report.success == pytest.approx(0.6) and report.failed == [3, 4]
    assert report.success_interval == lk.tasks.wilson(3, 5)
    assert report.handed_over == pytest.approx(0.4) and report.handed_over_wrongly == 1
    assert report.turns == pytest.approx((2 + 3 + 3 + 3 + 1) / 5)  # up to the hand-over
    assert report.transitions == {
        ("hello", "check"): 4,
        ("check", "done"): 1,
        ("check", "hello"): 1,
        ("hello", "hello"): 4,
        ("hello", PERSON): 2,
    }
    assert report.reasons == {"no transition": 4, "repeated": 2}
    assert "end as is wanted   60.0 %" in str(report)
    json.dumps(report.as_dict())
    manager.policy.diagram(report.transitions)
    with pytest.raises(lk.InputError, match="dialogue 0 has no turn"):
        manager.evaluate([ScriptedDialogue([])])
    with pytest.raises(lk.InputError, match="there is no dialogue"):
        manager.evaluate([])


@given(st.lists(st.tuples(st.sampled_from([0.2, 0.4, 0.4001, 0.7, 0.9]), st.booleans()), min_size=1, max_size=12))
def test_the_threshold_is_the_least_that_is_good_enough(rows):
    p, right = map(np.array, zip(*rows, strict=True))
    found = lk.tasks.act_threshold(p, right, 0.75)
    good = [t for t in p if right[p >= t].mean() >= 0.75]
    assert found == (min(good) if good else 1.0)


def test_the_manager_chooses_by_development_turns(manager, acts):
    texts = [text for some in SAID.values() for text in some]
    labels = [act for act, some in SAID.items() for _ in some]
    p = acts.probabilities(texts)
    right = [acts.classes[i] for i in p.argmax(1)] == np.array(labels)
    assert manager.choose_threshold(texts, labels) == lk.tasks.act_threshold(p.max(1), right)
