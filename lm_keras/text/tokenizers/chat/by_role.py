"""A chat template whose text around the contents depends on the roles alone, so that a graph can write it.

A chat is a system's message or none, then the user's and the assistant's in turn, the last one the user's. Before
each content there is a `Joint`, of five kinds, and one after the last. A joint with special tokens parts the text
into runs, each of which a tokenizer encodes as one string; without any, the contents beside it are in one run.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.chat.messages import OURS, Content
from lm_keras.text.unicode import SPACES, tf_valid, valid

if TYPE_CHECKING:
    import tensorflow as tf

    from lm_keras.text.tokenizers.base import Tokenizer

# What stands before a message, by its role and that of the one before it.
KINDS = {
    ("", "system"): 0,
    ("", "user"): 1,
    ("system", "user"): 2,
    ("user", "assistant"): 3,
    ("assistant", "user"): 4,
    ("user", ""): 5,  # the last joint: the beginning of the assistant's turn
}
START_SYSTEM, START_USER, AFTER_SYSTEM, ANSWER, NEXT_USER, END = range(6)
_TYPED = (
    *(
        "Hello there!",
        "",
        " ",
        "a\n",
        "\n\n a \n ",
        "é北🙂 \u2003",
        "<think>a</think>\n\nb",
        "{{ 1 }} {% x %} 'b' \"c\"",
    ),
    *("system", "<|im_end|>", "</s> [INST] <<SYS>> a <</SYS>> [/INST]", "a " * 40, "1", "\U0010fff0x"),
)


class Joint(NamedTuple):
    """What a template writes between two contents.

    Attributes:
        left: The text that belongs to the run of the content before it.
        middle: The ids after that run, special tokens and the text between them; None: the run goes on.
        right: The text before the next content, in its run.
        content: Whether white space around the next content is taken away.
    """

    left: str
    middle: tuple[int, ...] | None
    right: str
    content: Content


class ChatByRole:
    """The joints of a tokenizer's chat template: the ids of `encode_chat`, in Python and in a graph.

    Args:
        tokenizer: A tokenizer with a chat template.

    Attributes:
        takes_system: Whether the template takes a message of the system; there are templates that refuse it.

    Raises:
        InputError: There is no chat template, or what it writes depends on more than roles; the message says on what.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        if "strftime_now" in (tokenizer.chat_template or ""):
            raise InputError("the chat template writes the date of today, so it has no constant pieces")
        self.takes_system = _takes(tokenizer, ["system", "user"])
        self.joints = _joints(tokenizer, self.takes_system)
        for messages in _conversations([*_TYPED, *tokenizer.special_tokens], self.takes_system):
            if self.encode(messages) != tokenizer.encode_chat(messages):
                shown = [message["content"] for message in messages]
                raise InputError(f"the chat template writes other pieces around the contents {shown!r:.200}")

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Returns the ids of a chat in that order of roles, with the beginning of the assistant's turn."""
        ids, text, roles = [], "", ["", *(message["role"] for message in messages), ""]
        kinds = [KINDS[pair] for pair in zip(roles, roles[1:], strict=False)]
        for kind, message in zip(kinds, [*messages, None], strict=True):
            joint = self.joints[kind]
            text += joint.left
            if joint.middle is not None:
                ids += [*self.tokenizer.encode(text), *joint.middle]
                text = ""
            if message is not None:
                text += joint.right + joint.content.cut(OURS.sub("\ufffd", valid(message["content"])))
        return ids

    def tf_encode(
        self, contents: "tf.Tensor", kinds: "tf.Tensor", rows: "tf.Tensor", num_rows: "tf.Tensor"
    ) -> "tf.RaggedTensor":
        """Returns the ids of chats, ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only.

        Args:
            contents: Strings [M], those of one chat after the other.
            kinds: int32 [M], what stands before each, of `KINDS`.
            rows: int32 [M], the chat that each is of.
            num_rows: B.
        """
        import tensorflow as tf

        joints = self.joints
        last = tf.concat([rows[1:] != rows[:-1], tf.ones_like(rows[:1], tf.bool)], 0)
        following = tf.where(last, END, tf.concat([kinds[1:], kinds[:1]], 0))
        lefts, rights = (tf.constant([getattr(joint, side) for joint in joints]) for side in ("left", "right"))
        texts = tf.strings.join(
            [tf.gather(rights, kinds), self._tf_cut(contents, kinds), tf.gather(lefts, following)]
        )
        begins = tf.gather([joint.middle is not None for joint in joints], kinds)
        run = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        first = tf.where(begins)[:, 0]  # of each run
        texts = tf.RaggedTensor.from_value_rowids(texts, run, tf.size(first, tf.int64), validate=False)
        ids = self.tokenizer.tf_encode(tf.strings.reduce_join(texts, axis=1)).with_row_splits_dtype(tf.int64)
        middles = tf.ragged.constant([list(joint.middle or ()) for joint in joints], tf.int32, ragged_rank=1)
        middles = middles.with_row_splits_dtype(tf.int64)
        ids = tf.concat([tf.gather(middles, tf.gather(kinds, first)), ids], axis=1)
        lengths = tf.math.unsorted_segment_sum(ids.row_lengths(), tf.gather(rows, first), num_rows)
        ids = tf.RaggedTensor.from_row_lengths(ids.flat_values, lengths, validate=False)
        return tf.concat([ids, tf.tile([tf.constant(joints[END].middle, tf.int32)], [num_rows, 1])], axis=1)

    def _tf_cut(self, contents, kinds):
        import tensorflow as tf

        contents = tf.strings.regex_replace(tf_valid(contents), OURS.pattern, "\ufffd")
        for side, pattern in (("lstrip", f"\\A{SPACES}+"), ("rstrip", f"{SPACES}+\\z")):
            flags = [getattr(joint.content, side) for joint in self.joints]
            if any(flags):
                cut = tf.strings.regex_replace(contents, pattern, "")
                contents = tf.where(tf.gather(flags, kinds), cut, contents)
        return contents


# === The joints of a template ===
def _takes(tokenizer, roles):
    try:
        return bool(tokenizer.apply_chat_template([{"role": role, "content": "x"} for role in roles]))
    except InputError:
        return False


def _joints(tokenizer, takes_system):
    found = {}
    for system in (True, False)[not takes_system :]:
        for turns in (1, 2, 4):
            roles = [*(["system"] * system), *(["user", "assistant"] * turns)[:-1]]
            gaps, contents = _gaps(tokenizer, roles)
            around = ["", *roles, ""]
            for i, gap in enumerate(gaps):
                kind, content = (around[i], around[i + 1]), contents[i]
                if found.setdefault(kind, (gap, content)) != (gap, content):
                    before, after = (role or "no message" for role in kind)
                    raise InputError(
                        f"the chat template does not always write the same between {before} and {after}, so it has "
                        "no constant pieces"
                    )
    return [_joint(tokenizer, kind, *found.get(kind, ([], Content(0)))) for kind in KINDS]


def _gaps(tokenizer, roles):
    """What stands around the contents of messages: lists of texts and ids, and how each content is cut."""
    messages = [{"role": role, "content": "x"} for role in roles]
    gaps, contents = [[]], []
    for piece in tokenizer.chat_pieces(messages):
        if isinstance(piece, Content):
            contents.append(piece)
            gaps.append([])
        elif isinstance(piece, str) and gaps[-1] and isinstance(gaps[-1][-1], str):
            gaps[-1][-1] += piece
        else:
            gaps[-1].append(piece)
    if [content.index for content in contents] != list(range(len(roles))):
        raise InputError(
            f"the chat template does not write {', '.join(roles)} once each, so it has no constant pieces"
        )
    return gaps, [*(content._replace(index=0) for content in contents), Content(0)]


def _joint(tokenizer, kind, gap, content):
    marks = [i for i, piece in enumerate(gap) if isinstance(piece, int)]
    left, right = ("".join(part) for part in ((gap[: marks[0]], gap[marks[-1] + 1 :]) if marks else (gap, ())))
    middle = [i for piece in gap[marks[0] : marks[-1] + 1] for i in _ids(tokenizer, piece)] if marks else None
    if kind[0] == "":  # before all
        middle, left, right = ((*_ids(tokenizer, left), *middle), "", right) if marks else ((), "", left)
    if kind[1] == "":  # after all
        middle, right = (*(middle or ()), *_ids(tokenizer, right)), ""
    return Joint(left, None if middle is None else tuple(middle), right, content)


def _ids(tokenizer, piece):
    return [piece] if isinstance(piece, int) else tokenizer.encode(piece)


def _conversations(texts, takes_system):
    """Chats of one to four turns, with and without the system's message, in which each text has each role."""
    for i in range(len(texts)):
        for system in (True, False)[not takes_system :]:
            roles = [*(["system"] * system), *(["user", "assistant"] * (1 + i % 4))[:-1]]
            yield [{"role": role, "content": texts[(i + 5 * j) % len(texts)]} for j, role in enumerate(roles)]
