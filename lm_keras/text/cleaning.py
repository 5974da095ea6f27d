"""Raw text to plain text."""

import html as entities
import re
import unicodedata
from collections import Counter
from html.entities import html5

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text


def _names(names):
    return frozenset(names.split())


# The elements of HTML, the obsolete ones too, and of MathML. In a text that is no whole page only these are tags:
# "<unk>", "List<String>" and "<think>" stay.
_ELEMENTS = _names("""
a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body br
button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed
fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img
input ins kbd label legend li link listing main map mark marquee menu meta meter nav nobr noembed noframes noscript
object ol optgroup option output p param picture plaintext pre progress q rb rp rt rtc ruby s samp script search
section select slot small source span strike strong style sub summary sup svg table tbody td template textarea tfoot
th thead time title tr track tt u ul var video wbr xmp
math annotation annotation-xml menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot
mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics
""")
_VOID = _names("""
area base basefont bgsound br col embed frame hr img input link meta mprescripts mspace param source track wbr
""")
_MAY_STAY_OPEN = _VOID | _names("""
body caption colgroup dd dt head html li optgroup option p rb rp rt rtc tbody td tfoot th thead tr
""")
# What a browser does not show.
_HIDDEN = _names("""
annotation annotation-xml audio canvas datalist head iframe noembed noframes noscript script style svg template video
""")
# Elements whose content is text up to their end tag.
_RAW = _names("iframe noembed noframes noscript script style textarea title xmp")
# Elements that end a line. A cell of a table ends a word; all other tags vanish ("<b>bo</b>ld" is "bold").
_BLOCKS = _names("""
address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure
footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext
pre search section summary table tbody tfoot thead tr ul xmp
""")
_INSTEAD = dict.fromkeys(_BLOCKS, "\n") | {"td": " ", "th": " "}
_ALONE = _names("dd dt li p td th tr")  # seen without their end tags, when they are meant and not mentioned

# A whole page, of HTML or XML: what it begins with, comments aside.
_PAGE = re.compile(r"\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\b|\?xml\b|html[\s>])", re.IGNORECASE | re.DOTALL)
_XHTML = re.compile(r"<html[\s>]", re.IGNORECASE)
_DOCTYPE = re.compile("<!doctype", re.IGNORECASE)
_SUBSET = re.compile(r"[^<>\[]*\[(?:[^\"'\]]|\"[^\"]*\"|'[^']*')*+\]\s*(?=>)")  # of XML: [<!ENTITY name "value">]
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
# A tag's name, the rest up to ">" or the next "<", and ">".
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)(?=[\s/>])([^<>]*)(>?)")
_VALUE = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")
_OPEN_QUOTE = re.compile(r"=\s*([\"'])")
_DECLARATION = re.compile(r"<(?:\?xml\b|!doctype\b)[^<>]*>", re.IGNORECASE)
_OPENS = re.compile("<(?=[a-zA-Z/!?])")
_ATTRIBUTE = re.compile(r"\s[a-zA-Z:_-]+\s*=")
_QUOTING = frozenset(" \t`'\"([{“‘«,;:")  # before a "<p>" that is only mentioned
# Markdown's code: between lines of ``` or ~~~, and between backticks.
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,8}|~{3,8})(?!`).*?^ {0,3}(?P=fence)|"
    r"(?<!`)`(?![`\s])(?:[^`\n]|\n(?![ \t]*\n)){1,500}(?<!\s)`(?!`)|"
    r"(?<!`)(?P<ticks>`{2,8})(?![`\s])(?:[^\n]|\n(?![ \t]*\n)){1,200}?(?<![`\s])(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
_REFERENCE = re.compile(
    "&(?:([a-zA-Z][a-zA-Z0-9]{1,40};)|#(?:[0-9]{1,20}|[xX][0-9a-fA-F]{1,16});|"
    "#(?:[0-9]{2,7}|[xX][0-9a-fA-F]{2,6})(?![0-9a-zA-Z;]))"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# The control characters (Cc) but newline and tab, and the marks that show nothing: soft hyphen, zero-width space,
# word joiner, byte order mark. The zero-width joiners stay: emoji, Persian and Hindi need them.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]")
_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_END = "lm-keras-end"  # an element after the text
_NAME = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_DEEPEST = 2000  # elements in each other


def clean(text: str, html: bool | None = None) -> str:
    """Returns `text` without HTML and control characters, in Unicode NFC, with tidy spaces.

    Always: every run of spaces (tabs and no-break spaces too) is one space, lines are stripped and end in "\\n",
    there is at most one empty line in a row. Control characters and marks that show nothing go. A lone surrogate,
    which UTF-8 cannot hold, becomes U+FFFD. Text without "<" and "&" changes in no other way, and a second call
    changes nothing.

    With `html=None` the text itself decides:

    - A whole page begins (after white space and comments) with `<!doctype`, `<html` or `<?xml`. It is read by an HTML
      parser as with `html=True`.
    - Text with markup has an HTML element with its end tag (`<b>bold</b>`), `<br>`, `<hr>`, a tag with an attribute
      (`<img src=...>`), a comment, or `<p>`, `<li>` or the like (at the beginning of a line, or not after a space or
      a quote). It goes through the same parser, but what is no markup is kept as text: a tag whose name HTML does not
      know (`<unk>`, `List<String>`, `<bob@x.org>`), an element that is never closed but must be (`the <script> tag`),
      a comment without its end, a tag with a quote that never closes.
    - In all other text every "<" stays: `a < b`, `x <- y`, `<3`, `<unk>`, ``the `<script>` tag``.

    In the second and third case Markdown's code (between backticks, or lines of three of them or of "~~~") stays as
    it is. No rule can tell `<br>` that is meant from one that is only mentioned: give `html=False` for prose
    about HTML.

    The parser is libxml2's (lxml). What a browser does not show goes (script, style, svg, template, a page's head,
    comments); a block element ends its line, a cell of a table its word, all other tags vanish.

    Entities become characters where they end in ";" and their name is known (`&amp;`), once: `&amp;lt;` is `&lt;`. So
    `AT&T`, `R&D;`, `&copy` and `?a=1&region=us` stay. A number (`&#39;`) may lack its ";" before what is no letter or
    digit.

    Args:
        text: A str.
        html: True: HTML by the rules of browsers; unknown tags go, what is not closed hides the rest. False: plain
            text, where "<" and "&" have no meaning. None: as above.

    Returns:
        A str.

    Raises:
        InputError: For what is no str, or another `html`.
    """
    check_text(text)
    if html is not None and not isinstance(html, bool):
        raise InputError(f"html is True, False or None (the text decides), got {html!r}")
    text = _characters(text)
    if html is not False and ("<" in text or "&" in text):
        if html or _PAGE.match(text):
            text = _read(text)
        else:
            text = _CODE.sub(_escaped, text) if "`" in text or "~~~" in text else text
            if markup := _markup(text):
                text = _read(_OPENS.sub(lambda opens: "<" if opens.start() in markup else "&lt;", text))
        text = _characters(_REFERENCE.sub(_character, text))
    text = unicodedata.normalize("NFC", text)
    lines = (line.strip() for line in _SPACES.sub(" ", text).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


def _characters(text):
    """No surrogates, no control characters, and "\\n" at the end of each line."""
    return _CONTROL.sub("", _NEWLINE.sub("\n", _SURROGATE.sub("\ufffd", text)))


def _markup(text):
    """The places of each "<" that begins markup; none where the text has no evidence of any."""
    quotes = {quote: text.rfind(quote) for quote in "\"'"}
    tags = [tag for tag in _TAG.finditer(text) if tag[2].lower() in _ELEMENTS and _ends(tag, quotes)]
    tags = [(tag.start(), tag[1], tag[2].lower(), tag[3] + tag[4]) for tag in tags]
    end = max(text.rfind("-->"), 0)
    places = {comment.start() for comment in re.finditer("<!--", text[:end])}
    evidence, following, ended = bool(places), {}, set()
    for place, slash, name, rest in reversed(tags):
        whole = rest.endswith(">")
        attribute = whole and name not in _HIDDEN and _ATTRIBUTE.match(rest)
        # Raw text holds no tags: of two "<script>" before one "</script>" the first is only mentioned.
        closed = following.get(name) == "/" if name in _RAW else name in ended
        following[name] = slash
        if slash:
            ended.add(name)
        alone = name in _MAY_STAY_OPEN or (rest.endswith("/>") and name not in _RAW)
        if slash or closed or (whole and (attribute or alone)):
            places.add(place)
        if not slash and not evidence:
            alone = name in ("br", "hr") or (name in _ALONE and _is_meant(text, place))
            evidence = bool(closed or attribute or (whole and alone))
    for declaration in _DECLARATION.finditer(text):
        places.add(declaration.start())
        evidence = evidence or _is_meant(text, declaration.start())
    return places if evidence else set()


def _ends(tag, quotes):
    """Whether no quote of an attribute stays open to the end of the text, which the tag would take with it."""
    quote = _OPEN_QUOTE.search(_VALUE.sub("", tag[3])) if "=" in tag[3] else None
    return not quote or quotes[quote[1]] >= tag.end()


def _is_meant(text, place):
    """Whether the tag at a place is no mention: it begins a line, or does not follow a space or a quote."""
    before = text[max(place - 100, 0) : place]
    return not before.rpartition("\n")[2].strip() or before[-1] not in _QUOTING


def _read(text):
    """The text of HTML, as a browser shows it; its entities stay as they are."""
    from lxml import etree

    page = _Page(text.lstrip().startswith("<?xml") and not _XHTML.search(text))
    parser = etree.HTMLParser(target=page, huge_tree=True)  # deep nesting is no error
    doctype = _DOCTYPE.search(text)
    if doctype and (subset := _SUBSET.match(text, doctype.end())):
        text = text[: doctype.end()] + text[subset.end() :]
    parser.feed(_shallow(_CDATA.sub("", text), page.xml).replace("&", "&amp;") + f"<{_END}>")
    return parser.close().replace(f"<{_END}>", "")  # it is text after a <plaintext>, or a <textarea> without its end


def _shallow(text, xml):
    """The same with no more than some thousand elements in each other; others become an image that shows the same.

    For an end tag the parser looks through all that are open: in a page of a million characters that took a minute.
    """
    if text.count("<") <= _DEEPEST:
        return text
    opened, depth = Counter(), Counter()  # of elements; of those that may stay open, and of the others

    def begin(tag):
        name = tag[2].lower()
        may_stay = name in _MAY_STAY_OPEN
        if tag[1]:
            depth[may_stay] -= opened[name] > 0
            opened[name] -= opened[name] > 0
        elif name not in _VOID:
            if depth[may_stay] >= _DEEPEST:
                return f"{_instead(name, xml)}<img"
            opened[name] += 1
            depth[may_stay] += 1
        return tag[0]

    return _NAME.sub(begin, text)


def _instead(tag, xml):
    """What stands for a tag. In XML one that HTML does not know ends a line, and those of RSS."""
    return "\n" if xml and (tag in ("link", "title") or tag not in _ELEMENTS) else _INSTEAD.get(tag, "")


class _Page:
    """What lxml's parser tells of a page, as text."""

    def __init__(self, xml):
        self.xml, self.parts, self.held, self.hidden = xml, [], [], 0

    def start(self, tag, attributes):
        if tag == _END:  # an element that hides its content and was never closed: rather too much than too little
            self.parts += self.held
        elif self.hidden or tag in _HIDDEN:
            self.hidden += 1
        else:
            self._put(tag)

    def end(self, tag):
        if self.hidden:
            self.hidden -= 1
            if not self.hidden:
                self.held.clear()
        elif tag not in _VOID:
            self._put(tag)

    def _put(self, tag):
        self.parts.append(_instead(tag, self.xml))

    def data(self, data):
        (self.held if self.hidden else self.parts).append(data)

    def close(self):
        return "".join(self.parts)


def _escaped(match):
    return entities.escape(match[0], quote=False)


def _character(reference):
    return html5.get(reference[1], reference[0]) if reference[1] else entities.unescape(reference[0])
