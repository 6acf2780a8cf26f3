"""What a reader sees of a page, and that the page needs nothing else."""

import re
from html import unescape
from xml.etree import ElementTree


def plain(page: str) -> str:
    """Return the words of a page or of Markdown, one space between them."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def pictures(page: str) -> list[ElementTree.Element]:
    """Return the pictures of a page, each a well-formed SVG."""
    found = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    return [ElementTree.fromstring(picture) for picture in found]


def require_standing_alone(page: str) -> None:
    """Hold a page to fetching and running nothing, and to ids that are there once."""
    links = r'\b(?:href|srcset|action|data)="(?!#)|src=|url\((?!#)|https?://(?!www\.w3\.org)'
    assert re.findall(rf"<script|<link|<img|@import|{links}", page) == []
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)
    pictures(page)
