"""The pages of the site, copied to where it is built, with their links turned to the copies.

A page may link to any file of the repository. The site has only pages, and the repository has no public
address yet, so such a link becomes plain text on the site. A broken link fails the build.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Final

PROJECT_PAGES: Final = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
"""Pages at the root of the repository, where hosting platforms look for them."""
CHECKED: Final = ("README.md", "tests/README.md")
"""Files that are not pages of the site, and whose links are checked."""
GENERATED: Final = ("reference/http-api.md",)

LINK = re.compile(r"(?<!!)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
CODE = re.compile(
    r"(^ *(?P<fence>```+|~~~+).*?^ *(?P=fence) *$|`[^`\n]+`)", re.MULTILINE | re.DOTALL
)
FENCE = re.compile(r"\A( *(?:```+|~~~+)\w+) [^={\n]+$", re.MULTILINE)
"""The first line of code that has a name after its language, by which the tests run it."""
ELSEWHERE = re.compile(r"[a-z]+:|#")


class BrokenLinks(Exception):
    """Broken links, one on each line."""


def stage(root: Path, folder: Path) -> None:
    """Copy all pages of the repository to the folder; raises BrokenLinks."""
    shutil.copytree(root / "docs", folder)
    staged = {
        path: folder / path.relative_to(root / "docs") for path in (root / "docs").rglob("*.md")
    }
    for name in PROJECT_PAGES:
        staged[root / name] = folder / "project" / name.lower()
    generated = {root / "docs" / name: folder / name for name in GENERATED}
    links = Links(root, {**staged, **generated})
    for source, copy in staged.items():
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(links.turned(source), "utf-8")
    for path in (root / name for name in CHECKED):
        if path.exists():
            links.turned(path)
    if links.broken:
        raise BrokenLinks("\n".join(links.broken))


class Links:
    """Turns links between files of the repository into links between pages of the site."""

    def __init__(self, root: Path, staged: dict[Path, Path]) -> None:
        self._root = root
        self._staged = staged
        self.broken: list[str] = []

    def turned(self, source: Path) -> str:
        """Return a page's text with its links turned; those to nothing are kept in `broken`."""
        pieces = _split_code(source.read_text("utf-8"))
        return "".join(
            FENCE.sub(r"\1", piece)
            if is_code
            else LINK.sub(lambda link: self._turned(source, link), piece)
            for piece, is_code in pieces
        )

    def _turned(self, source: Path, link: re.Match[str]) -> str:
        path, hash, anchor = link["target"].partition("#")
        if ELSEWHERE.match(link["target"]):
            return link[0]
        target = Path(os.path.normpath(source.parent / path))
        if target in self._staged:
            copy = self._staged.get(source, source)
            relative = os.path.relpath(self._staged[target], copy.parent)
            return f"[{link['text']}]({relative}{hash}{anchor})"
        if not target.exists():
            self.broken.append(f"{source.relative_to(self._root)}: {link['target']} does not exist")
        return link["text"]


def _split_code(text: str) -> list[tuple[str, bool]]:
    pieces, end = [], 0
    for code in CODE.finditer(text):
        pieces += [(text[end : code.start()], False), (code[0], True)]
        end = code.end()
    return [*pieces, (text[end:], False)]
