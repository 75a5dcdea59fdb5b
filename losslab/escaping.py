"""Text from files (names, paths, errors, samples) shown as text and nothing else.

On a terminal, in Markdown, in LaTeX, in a spreadsheet.
"""

import re

# what turns the direction of writing, is not to be seen, or is half a character
UNSEEN = r"\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
CONTROL = rf"[\x00-\x1f{UNSEEN}]+"  # moves a cursor, too; a byte model writes any of them
CONTROL_IN_LINES = rf"[\x00-\x08\x0b-\x1f{UNSEEN}]"
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;"}  # then each backslash is ours
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "|": r"\textbar{}", "<": "$<$", ">": "$>$", "\"": r"\symbol{34}", "[": "{[}", "]": "{]}", "*": "{*}",
    "±": r"$\pm$", "−": "$-$", "–": "--", "—": "---", "×": r"$\times$", "→": r"$\rightarrow$", "≤": r"$\leq$",
    "≥": r"$\geq$", "…": r"\dots{}", **{sign: f"\\{sign}" for sign in "&%$#_"},
}  # brackets and stars would be arguments of the end of a row; a quotation mark is a command of some languages
LATEX_CODE = LATEX | {"'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "−": "-", "-": "-{}"}  # -- would be a dash
NUMBER = r"[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?"
# what a spreadsheet takes for a formula, and the numbers that begin with a sign, too: alone, or with their error
COMPUTED = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
MEASURED = re.compile(rf"{NUMBER}( ?%)?( ± {NUMBER})?( \[{NUMBER}, {NUMBER}\])?( \(n=\d+\))?", re.ASCII)
SAFE = re.compile(r"[\w .,:;()=+*/\-\"'^%@]+")  # nothing here ends inline code, opens a tag or parts a table


def plain(text) -> str:
    """One line of text without control characters: a name may not move a terminal's cursor."""
    return re.sub(CONTROL, " ", str(text))


def escape(text) -> str:
    r"""One line of Markdown that reads as `text`, and is no markup: no tag, link, table, formula or emphasis.

    Example:
        >>> escape("a_b | <script> [x](y)")
        'a_b &#124; &lt;script&gt; \\[x\\](y)'
        >>> escape("# _1_ https://example.org")
        '\\# \\_1\\_ https&#58;//example.org'
    """
    text = re.sub(r"[\\|&<>]", lambda found: ENTITIES[found[0]], plain(text))
    text = re.sub(r"(?<!\w)_|_(?!\w)|[`*\[\]!$~]", r"\\\g<0>", text)  # inside a word _ is only itself
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    # what opens a line may open a heading, a list, a quotation or a rule
    return re.sub(r"^(\s*)(?=[#+=-]([\s#=-]|$))|^(\s*\d+)(?=[.)](\s|$))", r"\g<0>\\", text)


def code(text) -> str:
    """Inline code; a text in which anything could end it is escaped instead."""
    text = plain(text).strip()
    return f"`{text}`" if SAFE.fullmatch(text) else escape(text)


def block(text) -> str:
    """Lines of code, or of a sample; where they hold a tag they are written as entities, which read the same."""
    text = re.sub(CONTROL_IN_LINES, "\ufffd", str(text).rstrip())
    if re.search("[<&]", text):
        for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, entity)
        return f"<pre>\n{text}\n</pre>"
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def latex(text) -> str:
    r"""One line of LaTeX that reads as `text`, and holds no command of it; a hyphen before a number is a minus.

    Letters that are not Latin stay as they are: they take XeLaTeX or LuaLaTeX.

    Example:
        >>> latex("50 % of a_b & {c} < -0.5")
        '50 \\% of a\\_b \\& \\{c\\} $<$ $-$0.5'
    """
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", plain(text))
    return "".join(LATEX.get(sign, sign) for sign in text)


def latex_code(text) -> str:
    """The same in the typewriter face, sign by sign, for a name or a formula."""
    return rf"\texttt{{{''.join(LATEX_CODE.get(sign, sign) for sign in plain(text))}}}"


def cell(value):
    r"""A cell of comma-separated values: text that a spreadsheet would compute has a ' before it, by which it is text.

    A number stays as it is, also one with its error or its interval; so does what is no text. Lines end in \n.

    Example:
        >>> cell("=1+1"), cell("-1+1"), cell("-0.5"), cell("+0.0017 [-0.0044, 0.0079]"), cell(-0.5)
        ("'=1+1", "'-1+1", '-0.5', '+0.0017 [-0.0044, 0.0079]', -0.5)
    """
    if not isinstance(value, str):
        return value
    mark = "'" if COMPUTED.match(value) and not MEASURED.fullmatch(value) else ""
    return mark + re.sub("\r\n?", "\n", value)  # Python's writer leaves a \r bare, and the rest would be a row
