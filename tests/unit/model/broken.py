#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Broken files, and to the letter what is said about them: tests/unit/model/broken/NAME.{yaml,json,node} and NAME.txt (see
show_broken.c). Each rule of a noun, each rule of the parser and each sentence that the sources have for a mistake occurs in
one of them at least, and each finding says what to do.

usage: broken.py SHOW_BROKEN            compares
       broken.py SHOW_BROKEN --write    writes NAME.txt of all; look at what git says has changed
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
FILES = os.path.join(HERE, "broken")
# The argument that holds the sentence, and the one that holds the rule.
CALLS = {
    "reader_complain": (4, 1),
    "complain": (4, 2),
    "finding_add": (4, 1),
    "refuse": (3, None),
    "refuse_name": (3, 1),
    "refuse_circuit": (3, 1),
    "reader_wrong_value": (3, None),
    "WRONG": (0, None),
    "snprintf(error, FIELD_ERROR_MAX": (1, None),
    "snprintf(error, sizeof(error)": (1, None),
}
# Rules whose sentences say what is right.
SAY_IT = ("value", "required", "name")
# What no small file can have, or no field that there is.
UNSEEN = {
    "not enough memory": "there is some",
    "larger than %u MiB": "a file of 64 MiB",
    "the stored %s cannot be read and is left out": "unit/store",
    "no YAML: a value is missing": "libyaml says it first",
    "too many keys in one map": "a large file",
    "has too many elements": "unit/model-file",
    "is not a single value": "lists are read otherwise",
    "is what the system says, not to be set": "unit/model-schema",
    "%s%s%s is only there with %s %s": "unit/model-schema",
    "is not a MAC address, such as %s": "unit/model-values",
    "is a multicast MAC address": "unit/model-values",
    "is not an ethertype of four hex digits, such as 88a8": "unit/model-values",
    "is a frame length, not an ethertype (0600..ffff)": "unit/model-values",
}


def call_at(text, start):
    """The arguments of the call whose parenthesis is at `start`."""
    depth, quoted, arguments, argument, i = 0, False, [], "", start
    while True:
        c = text[i]
        if quoted:
            quoted = c != '"'
            if c == "\\":
                argument += c
                i += 1
                c = text[i]
        elif c == '"':
            quoted = True
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                return arguments + [argument]
        if not quoted and c == "," and depth == 1:
            arguments.append(argument)
            argument = ""
        elif i > start:
            argument += c
        i += 1


def literals(argument):
    """The strings in an argument, those that stand side by side as one."""
    argument = re.sub(r'"\s*(?:PRI[du]\d\d)\s*"', "d", argument)
    macros = {"FILE_COUNT": '"objects"', "FILE_END": '"end"'}
    argument = re.sub(r"\bFILE_(?:COUNT|END)\b", lambda m: macros[m[0]], argument)
    for group in re.findall(r'"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*', argument):
        yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', group)).replace('\\"', '"').replace("\\\\", "\\")


def sources():
    folder = os.path.join(ROOT, "control", "model")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".c"):
            yield os.path.join(folder, name)
    yield os.path.join(ROOT, "control", "node.c")


def said_in_sources():
    sentences, rules = {}, {}
    for path in sources():
        with open(path) as f:
            text = re.sub(r"//[^\n]*", "", f.read())
        for call, (sentence, rule) in CALLS.items():
            for found in re.finditer(rf"(?<![\w>]){re.escape(call)}", text):
                start = text.index("(", found.start())
                rest = text[found.end():].lstrip()
                if "(" not in call and not rest.startswith("("):
                    continue
                arguments = call_at(text, start)
                where = f"{os.path.relpath(path, ROOT)}:{text.count(chr(10), 0, found.start()) + 1}"
                at = sentence + 1 if "(" in call else sentence
                if "(" in call:
                    arguments[0:0] = []
                if at >= len(arguments) or re.search(r"\bconst\b|\bstruct\b", arguments[0]):
                    continue  # its definition
                for words in literals(arguments[at]):
                    sentences.setdefault(words, where)
                for word in literals(arguments[rule]) if rule is not None else ():
                    rules.setdefault(word, where)
    return sentences, rules


def matches(sentence, said):
    parts = re.split(r"%[-+ #0]*[\d.*]*(?:l|ll|z|h)?[a-zA-Z]", sentence.replace("%%", "\0"))
    return re.search(".*".join(re.escape(p.replace("\0", "%")) for p in parts), said) is not None


def main():
    show, write = sys.argv[1], "--write" in sys.argv
    names = sorted(n for n in os.listdir(FILES) if n.endswith((".yaml", ".json", ".node")))
    shown = subprocess.run([os.path.abspath(show), *names], cwd=FILES, capture_output=True, text=True, check=True).stdout
    wrong, said = [], ""
    for part in re.split(r"^=== ", shown, flags=re.MULTILINE)[1:]:
        name, text = part.split("\n", 1)
        expected = os.path.join(FILES, name.rsplit(".", 1)[0] + ".txt")
        if write:
            with open(expected, "w") as f:
                f.write(text)
        was = open(expected).read() if os.path.exists(expected) else ""
        if was != text:
            wrong.append(f"{name}: it is said\n{text}and expected was\n{was}")
        if "nothing is wrong" in text:
            wrong.append(f"{name}: nothing is wrong")
        wrong += [f"{name}: {line}" for line in text.split("\n") if line.endswith("(no hint)") and not line.startswith(tuple(f"[{rule}]" for rule in SAY_IT))]
        said += text
    sentences, rules = said_in_sources()
    nouns = subprocess.run([show, "--rules"], capture_output=True, text=True, check=True).stdout.split()
    found = set(re.findall(r"^\[([\w-]+)\]", said, re.MULTILINE))
    unseen = {"memory", "stored-object", "not-visible"} | {rule for rule, where in rules.items() if where.startswith("control/node.c")}
    for rule in sorted(set(nouns) | set(rules) - unseen):
        if rule not in found:
            wrong.append(f"no file breaks the rule {rule} {rules.get(rule, '')}")
    for sentence, where in sentences.items():
        if sentence not in UNSEEN and not matches(sentence, said):
            wrong.append(f"no file is told: {sentence} ({where})")
    print("\n".join(wrong))
    print(f"{len(names)} files, {len(found)} rules, {len(sentences)} sentences, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
