#!/usr/bin/python3
"""Finds units of agent/ that include each other in a circle.

A unit is a header and its source file: what shares a directory and a stem (`bake/plan.h` and
`bake/plan.cc`). A unit depends on another one if either of its files includes the other's header.
In a circle no unit can be understood, tested or moved without all the others; what they share
belongs in a unit of its own, below them. `circles.py --self-test` shows that a circle is found.
"""

import pathlib
import re
import sys

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s*"agent/([^"]+)"', re.MULTILINE)


def unit_of(path):
    """agent/bake/plan.cc -> bake/plan"""
    return str(pathlib.PurePath(path).with_suffix(""))


def dependencies(texts):
    """{path below agent/: text} -> {unit: set of the units that it includes}"""
    graph = {unit_of(path): set() for path in texts}
    for path, text in texts.items():
        unit = unit_of(path)
        included = {unit_of(header) for header in INCLUDE.findall(text)}
        graph[unit] |= included & graph.keys() - {unit}
    return graph


def circles(graph):
    """The sets of units that all reach each other, sorted (Tarjan's algorithm)."""
    number, lowest, stack, found = {}, {}, [], []
    for start in sorted(graph):
        if start in number:
            continue
        work = [(start, iter(sorted(graph[start])))]
        number[start] = lowest[start] = len(number)
        stack.append(start)
        while work:
            unit, others = work[-1]
            other = next(others, None)
            if other is None:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[unit])
                if lowest[unit] == number[unit]:
                    members = stack[stack.index(unit):]
                    del stack[stack.index(unit):]
                    if len(members) > 1:
                        found.append(sorted(members))
            elif other not in number:
                number[other] = lowest[other] = len(number)
                stack.append(other)
                work.append((other, iter(sorted(graph[other]))))
            elif other in stack:
                lowest[unit] = min(lowest[unit], number[other])
    return sorted(found)


def shortest_circle(graph, members):
    """A shortest way from a unit of the circle back to itself, with that unit at both ends."""
    best = None
    for start in members:
        ways = [[start]]
        seen = set()
        while ways and (best is None or len(ways[0]) + 1 < len(best)):
            way = ways.pop(0)
            for other in sorted(graph[way[-1]] & set(members)):
                if other == start:
                    best = way + [start]
                    ways = []
                    break
                if other not in seen:
                    seen.add(other)
                    ways.append(way + [other])
    return best


def findings_in(texts):
    graph = dependencies(texts)
    findings = []
    for members in circles(graph):
        inner = sum(len(graph[unit] & set(members)) for unit in members)
        findings.append(
            f"agent: {len(members)} units include each other in a circle ({inner} includes): "
            f"{', '.join(members)}; the shortest circle: "
            f"{' -> '.join(shortest_circle(graph, members))}")
    return findings


def self_test():
    plain = {"a/one.h": "", "a/one.cc": '#include "agent/a/one.h"\n#include "agent/a/two.h"',
             "a/two.h": '#include "agent/base/error.h"', "base/error.h": ""}
    cases = (
        ("no circle", plain, 0),
        ("through two headers",
         plain | {"a/two.h": '#include "agent/a/one.h"'}, 1),
        ("through a header and a source file",
         plain | {"a/two.cc": '  #  include "agent/a/one.h"'}, 1),
        ("through three units and two directories",
         plain | {"a/two.h": '#include "agent/base/error.h"',
                  "base/error.h": '#include "agent/a/one.h"'}, 1),
        ("two circles that share nothing",
         {"a/b.h": '#include "agent/a/c.h"', "a/c.h": '#include "agent/a/b.h"',
          "d/e.h": '#include "agent/d/f.h"', "d/f.cc": '#include "agent/d/e.h"'}, 2),
        ("a comment", plain | {"a/two.cc": '// #include "agent/a/one.h"'}, 0),
        ("a name that another directory has, too",
         plain | {"b/one.h": '#include "agent/a/one.h"',
                  "a/two.h": '#include "agent/base/x.h"'}, 0),
    )
    wrong = [f"{name}: {found} instead of {expected}" for name, texts, expected in cases
             if len(found := findings_in(texts)) != expected]
    way = findings_in(plain | {"a/two.cc": '#include "agent/a/one.h"'})[0]
    if "a/one -> a/two -> a/one" not in way:
        wrong.append(f"the way is not shown: {way}")
    tree.report(wrong, len(cases) + 1, "self-test of the circle lint")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    sources = [path for path in tree.files()
               if path.parts[0] == "agent" and path.suffix in (".h", ".cc")]
    texts = {str(path.relative_to("agent")): (tree.TOP / path).read_text() for path in sources}
    tree.report(findings_in(texts), len(dependencies(texts)), "units in circles")


if __name__ == "__main__":
    main()
