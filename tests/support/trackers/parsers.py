"""The parsers that trackers show comments with, each as a program that reads a list of
texts in JSON and writes one of their HTML.
"""

import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from tests.support.trackers import servers

REDMINE = Path("/usr/share/redmine/lib/redmine/wiki_formatting/textile/redcloth3.rb")
PARSEDOWN = Path("/usr/share/php/Parsedown/Parsedown.php")

_RUBY = "require 'json'; texts = JSON.parse(STDIN.read)\n"
_REDCARPET = """require 'redcarpet'
on = {autolink: true, fenced_code_blocks: true, tables: true, strikethrough: true, superscript: true,
  no_intra_emphasis: true, footnotes: true, lax_spacing: true, underline: true}
markdown = Redcarpet::Markdown.new(Redcarpet::Render::HTML.new(hard_wrap: true), on)
puts JSON.generate(texts.map { |text| markdown.render(text) })
"""
_COMMONMARKER = """require 'commonmarker'
parse = [:FOOTNOTES, :STRIKETHROUGH_DOUBLE_TILDE, :UNSAFE, :VALIDATE_UTF8]
more = [:table, :strikethrough, :tagfilter, :autolink]
puts JSON.generate(texts.map { |text| CommonMarker.render_doc(text, parse, more).to_html(:UNSAFE, more) })
"""
_TEXTILE = """class String; def blank? = strip.empty?; def present? = !blank?; end
class NilClass; def blank? = true; def present? = false; end
require 'uri'
require '/usr/share/redmine/lib/redmine/helpers/url'
load '%s'
puts JSON.generate(texts.map { |text| made = RedCloth3.new(text); made.hard_breaks = true; made.to_html(:textile) })
"""
_PARSEDOWN = """require '%s'; $made = new Parsedown();
$texts = json_decode(stream_get_contents(STDIN));
echo json_encode(array_map(function ($text) use ($made) { return $made->text($text); }, $texts));
"""
_PYTHON = """import json, sys, markdown
found = [markdown.markdown(text, extensions=["extra"]) for text in json.load(sys.stdin)]
print(json.dumps(found))
"""
_TRAC = """import json, sys
from trac.test import EnvironmentStub, MockRequest
from trac.web.chrome import web_context
from trac.wiki.formatter import format_to_html
env = EnvironmentStub(enable=["trac.*"])
context = web_context(MockRequest(env))
print(json.dumps([str(format_to_html(env, context, text)) for text in json.load(sys.stdin)]))
"""


def _command(name: str) -> list[str]:
    ruby, php = shutil.which("ruby") or "", shutil.which("php") or ""
    if name in ("redcarpet", "commonmarker"):
        code = _REDCARPET if name == "redcarpet" else _COMMONMARKER
        gems = Path("/usr/share/redmine").exists()
        servers.need(bool(ruby) and gems, f"{name} (Redmine's, from Debian)")
        return [ruby, "-e", _RUBY + code]
    if name == "textile":
        servers.need(bool(ruby) and REDMINE.exists(), "Redmine (from Debian)")
        return [ruby, "-e", _RUBY + _TEXTILE % REDMINE]
    if name == "parsedown":
        servers.need(bool(php) and PARSEDOWN.exists(), "php-parsedown (from Debian)")
        return [php, "-r", _PARSEDOWN % PARSEDOWN]
    if name == "python-markdown":
        found = list((servers.SERVERS / "venv").glob("lib/*/site-packages/markdown"))
        servers.need(bool(found), f"Python-Markdown below {servers.SERVERS}")
    code = {"python-markdown": _PYTHON, "trac": _TRAC}[name]
    return [servers.tool("python"), "-W", "ignore", "-c", code]


def rendered(name: str, texts: list[str]) -> list[str]:
    """The HTML that the parser *name* makes of each of *texts*."""
    done = subprocess.run(
        _command(name),
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=servers.PATIENCE,
        check=False,
        env=os.environ | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout)
    assert len(found) == len(texts)
    return found


class Page(HTMLParser):
    """What stands in `pre` and `code` of a page, what outside, and the elements that do."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside = self.outside = ""
        self.elements: list[str] = []
        self.links: list[str] = []
        self._depth = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("pre", "code", "tt"):
            self._depth += 1
        else:
            self.elements.append(tag)
            self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "code", "tt"):
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth > 0:
            self.inside += data
        else:
            self.outside += data
