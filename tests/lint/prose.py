#!/usr/bin/python3
"""Words and phrases that our texts do not use, each with what to write instead.

Searched are comments, string literals, documents and man pages; a phrase may span lines.
--self-test checks that each entry is found and that plain text is not."""

import re
import sys

import tree

# (what to find, what to write)
UNWANTED = (
    ("anew", "again"),
    ("whoever|whomever", "name who: the caller, the kubelet, another process"),
    ("who waits|who wants|who requires|who must|who asks|who reads|who starts|who builds",
     "name who: units that wait, callers that ask"),
    ("of more the|of more than", "beyond this limit, ..."),
    ("so that who", "name who"),
    ("whatever else", "other, all other"),
    ("whatever becomes of|what became of|what becomes of", "what happened to, what happens to"),
    ("is said|are said|was said|to be said", "is reported, is configured"),
    ("is told|are told|was told|to be told", "is notified, is configured"),
    ("told apart|tell apart|tells apart|told from", "distinguish"),
    ("tell of|tells of|tell nothing of|tells nothing of|says nothing of", "reports, describes"),
    ("amiss", "wrong"),
    ("mend|mends|mended|mending", "fix, repair"),
    ("made good|make good|put right|puts right", "repair, fix"),
    ("broken off|breaks off|break off", "abort"),
    ("begun again|begins again|began again", "restart, resume"),
    ("looked at again|looks at again|look at again", "check again"),
    ("goes on with|go on with|went on with", "continue, resume"),
    ("come what may", "always"),
    ("as far as", "if, where, up to"),
    ("for ever", "forever, without end"),
    ("to be had", "available"),
    ("of its own accord", "automatically"),
    ("in vain", "without success"),
    ("in passing", "name the cause"),
    ("at the most", "at most"),
    ("at the least", "at least"),
    ("at last", "finally, in the end"),
    ("all the same", "anyway, even so"),
    ("once more", "again, one more time"),
    ("once for all", "once"),
    ("so long as", "as long as, while"),
    ("as yet", "so far"),
    ("be it", "whether"),
    ("but for", "except, without"),
    ("save for", "except"),
    ("of one's own", "your own"),
    ("for so long|again and again", "this long, repeatedly"),
    ("does without|do without|doing without", "does not need, works without"),
    ("look after|looks after|looked after", "maintain, manage"),
    ("looked for", "search for"),
    ("held against|holds against|hold against", "compare with, check against"),
    ("passed by|passes by|passed over|passes over", "skip, ignore"),
    ("takes away|taken away|take away", "remove"),
    ("taken off|take off|takes off", "remove"),
    ("taken for", "treated as, mistaken for"),
    ("sees to it|see to it|sees that|see that", "makes sure, checks"),
    ("time is up|time was up|time is over", "the deadline passed"),
    ("befall|befalls|befell|befallen", "happen to"),
    ("heed|heeds|heeded", "honor, respect"),
    ("learnt", "learned"),
    ("lest", "so that ... not"),
    ("hitherto|henceforth|whence|thence|hence", "so, therefore, from here"),
    ("thereby|therein|thereof|thereupon|thereafter|therefrom", "this way, in it, of it, then"),
    ("thereto|hereby|herein|hereof|whereby|wherein|whereof|whereupon", "with it, in it, then"),
    ("nought|naught|aught", "nothing, zero, anything"),
)
# Quotations: the license; a text that names the words to find them.
EXEMPT = {"LICENSE", "tests/lint/prose.py"}
# Between two words: blanks, the end of a line, comment marks, quotes of a split string literal.
GAP = r"[\s/#\"'\\]+"


def pattern_of(unwanted):
    phrases = []
    for phrase in unwanted.split("|"):
        phrases.append(GAP.join(re.escape(word) for word in phrase.split()))
    return re.compile(rf"(?<![\w$-])(?:{'|'.join(phrases)})(?![\w-])", re.IGNORECASE)


PATTERNS = [(pattern_of(unwanted), better) for unwanted, better in UNWANTED]


def findings_in(path, text):
    for pattern, better in PATTERNS:
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found = " ".join(re.split(GAP, match[0]))
            yield f'{path}:{line}: "{found}"; write: {better}'


def self_test():
    wrong = []
    for unwanted, _ in UNWANTED:
        for phrase in unwanted.split("|"):
            for text in (f"x {phrase} y", phrase.capitalize(), phrase.replace(" ", "\n    // "),
                         phrase.replace(" ", '"\n    "')):
                if not list(findings_in("self-test", text)):
                    wrong.append(f"not found: {text!r}")
    for text in ("retry later", "kRenewed", "a mendicant", "recommend", "amended", "commended",
                 "unanewed", "at most", "looks for", "but forward", "who-must"):
        wrong += findings_in("self-test: plain text", text)
    text = "one\ntwo\n# begins\n# anew\n"
    if [finding.split(" ")[0] for finding in findings_in("x", text)] != ["x:4:"]:
        wrong.append("the line is wrong")
    tree.report(wrong, len(UNWANTED), "self-test of the prose lint")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    findings, files = [], 0
    for path in tree.files():
        if str(path) in EXEMPT:
            continue
        try:
            text = (tree.TOP / path).read_text()
        except UnicodeDecodeError:
            continue  # test data
        files += 1
        findings += findings_in(path, text)
    tree.report(findings, files, "prose")


if __name__ == "__main__":
    main()
