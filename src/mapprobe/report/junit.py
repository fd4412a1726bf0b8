"""The result of a check as JUnit XML: a suite for each limit, and in it a failed case for each call site over it."""

from __future__ import annotations

import re
from typing import BinaryIO
from xml.etree import ElementTree

from mapprobe.analysis.budget import Verdict
from mapprobe.report.budget import Checked, amount, bounds, left_out, outcome, place

CLASS = "mapprobe.check"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 can't express."""


def write(checked: Checked, out: BinaryIO) -> None:
    """Write the document."""
    suites = ElementTree.Element("testsuites", name="mapprobe check")
    for verdict in checked.verdicts:
        suites.append(_suite(verdict, str(checked.report.recording["binary"])))
    for count in ("tests", "failures", "skipped"):
        suites.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(out, encoding="utf-8", xml_declaration=True)
    out.write(b"\n")


def _suite(verdict: Verdict, binary: str) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_text(verdict.limit.name))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("binary", binary), ("limit", bounds(verdict.limit)), ("call sites", str(verdict.held))):
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    for over in verdict.over:
        failure = ElementTree.SubElement(_case(suite, place(over)), "failure", type=" ".join(over.breached))
        failure.set("message", amount(over))
        lines = [f"{place(one)}: {amount(one)}" for one in (over, *verdict.largest)]
        failure.text = _text("\n".join([*lines, f"the limit is {bounds(verdict.limit)}"]))
    if rest := left_out(verdict):
        ElementTree.SubElement(_case(suite, "(other call sites)"), "failure", type="more", message=rest)
    if not verdict.over:
        case = _case(suite, verdict.limit.name)
        if not (verdict.held and verdict.is_known):
            ElementTree.SubElement(case, "skipped", message=outcome(verdict))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    return suite


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=CLASS, name=_text(name), time="0")


def _text(text: str) -> str:
    return NO_XML.sub("\ufffd", text)
