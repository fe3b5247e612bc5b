"""XML out of plain data and back.

The root is `<response>`; keys are elements, list items `<resource>`, None is
`<x nil="true"/>`. A key that cannot be a name is `<item key="...">`. What XML cannot
tell apart stays one: all values are texts, and an empty text, list and mapping are the
same empty element.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

from oberonc.piston.construct import Plain, integer_text

DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>\n'
#: RFC 7807 section A, which RFC 9457 appendix B keeps.
_PROBLEM: Final = "urn:ietf:rfc:7807"

#: What XML 1.0 section 2.2 leaves out of `Char`.
_NO_CHARACTER: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)
#: Carriage returns, and white space in attributes, are lost unless they are escaped.
_SPECIAL: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_TEXT: Final = str.maketrans(_SPECIAL)
_ATTRIBUTE: Final = str.maketrans(
    {**_SPECIAL, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}
)
_ASCII_NAME: Final = re.compile(r"(?!xml)[a-z_][a-z0-9_.-]*", re.IGNORECASE)


@functools.lru_cache(maxsize=1024)
def _is_name(key: str) -> bool:
    """Whether a key can be an element's name: no colon, no `xml` at its head."""
    if _ASCII_NAME.fullmatch(key):
        return True
    if key.isascii() or len(key) > 200 or re.search(r"[\s:/<>&\"'=]", key):
        return False
    if _NO_CHARACTER.search(key) or key[:3].lower() == "xml":
        return False
    from xml.parsers import expat

    try:  # parsers disagree with the fifth edition; what expat reads, all do
        expat.ParserCreate().Parse(f"<{key}/>", True)
    except expat.ExpatError:
        return False
    return True


def _text(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return _NO_CHARACTER.sub("\ufffd", value).translate(_TEXT)
    if isinstance(value, bool):
        return "true" if value else "false"
    return integer_text(value) if isinstance(value, int) else repr(value)


def _pieces(value: Plain, tag: str, attributes: str, item: str) -> Iterator[str]:
    """One element, from its opening to its closing."""
    if value is None:
        yield f'<{tag}{attributes} nil="true"/>'
        return
    yield f"<{tag}{attributes}>"
    if isinstance(value, list):
        for one in value:
            yield from _pieces(one, item, "", item)
    elif isinstance(value, dict):
        for key, one in value.items():
            # A member named as list items are would be read as a list.
            if _is_name(key) and key != "resource":
                yield from _pieces(one, key, "", item)
            else:
                name = _NO_CHARACTER.sub("\ufffd", key).translate(_ATTRIBUTE)
                yield from _pieces(one, "item", f' key="{name}"', item)
    else:
        yield _text(value)
    yield f"</{tag}>"


def element(value: Plain, tag: str) -> str:
    """A value as an element with this name."""
    return "".join(_pieces(value, tag, "", "resource"))


def document(value: Plain) -> str:
    """A whole document."""
    return DECLARATION + element(value, "response")


def problem(value: Plain) -> str:
    """A problem document (RFC 9457 appendix B): its own root, and `<i>` in lists."""
    namespace = f' xmlns="{_PROBLEM}"'
    return DECLARATION + "".join(_pieces(value, "problem", namespace, "i"))


def load(text: str, max_depth: int) -> Any:
    """What a document says: texts, None, lists and mappings.

    Raises ValueError for what is no XML, has a DTD, or is no document as above.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import XMLParser

    # The text is decoded: the parser must not go by the encoding the document names.
    parser = XMLParser(encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(text.encode())
        root = parser.close()
    except DefusedXmlException:
        raise ValueError("a document type definition is not allowed") from None
    except ParseError as error:
        raise ValueError(f"no well-formed XML: {error}") from None
    return _value(root, max_depth)


def _value(node: Any, depth: int) -> Any:
    """The value of an element and all below it."""
    if node.get("nil") == "true":
        if len(node) or node.text:
            raise ValueError(f"<{node.tag}> is nil and has content")
        return None
    if not len(node):
        return node.text or ""
    if depth == 0:
        raise ValueError("nested too deep")
    if _holds_text(node):
        raise ValueError(f"<{node.tag}> has text beside elements")
    tags = [child.tag.rpartition("}")[2] for child in node]  # without a namespace
    if set(tags) == {"resource"}:
        return [_value(child, depth - 1) for child in node]
    result: dict[str, Any] = {}
    for child, tag in zip(node, tags, strict=True):
        key = child.get("key", tag) if tag == "item" else tag
        if key in result:
            raise ValueError(f"{key!r} is there twice")
        result[key] = _value(child, depth - 1)
    return result


def _holds_text(node: Any) -> bool:
    texts = (node.text, *(child.tail for child in node))
    return any(text and not text.isspace() for text in texts)
