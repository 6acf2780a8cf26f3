"""The model card as Markdown, as a page that stands alone, and as a part of another page."""

import math
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clinical.schema import FEATURES, LABEL
from risk_model.card import charts, content, sample_size, studies, wording
from risk_model.metadata import Metadata

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def environment(*folders: Path, html: bool = True) -> Environment:
    """Return a Jinja environment of templates in folders, and of those that all pages share."""
    jinja = Environment(
        loader=FileSystemLoader([*folders, HERE / "templates", STATIC]),
        autoescape=html,  # noqa: S701  # off for Markdown, in which nothing is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {
        "end": lambda value, name: f"{100 * value:g} %" if name == "share" else f"{value:g}",
        "finite": lambda value: value is not None and math.isfinite(value),
        "in_clinical_terms": wording.in_clinical_terms,
        "measure": wording.MEASURES.get,
        "number": wording.number,
        "one_line": lambda text: " ".join(text.split()),
        "percent": wording.percent,
        "points": _points,
        "share": wording.share,
        "titles": wording.titles,
    }
    jinja.globals |= {
        "FEATURES": {feature.name: feature for feature in FEATURES},
        "LABEL": LABEL,
        "MEASURES": wording.MEASURES,
        "READING": wording.READING,
        "SCALES": charts.SCALES,
        "SYNTHETIC": wording.SYNTHETIC,
        "between": wording.between,
        "charts": charts,
        "content": content,
        "sample_size": sample_size,
        "studies": studies.STUDIES,
    }
    return jinja


def _points(text: str) -> list[str]:
    """Return the items of a list that is written as in Markdown."""
    kind = type(text)  # what is escaped stays so
    items = (" ".join(item.split()) for item in text.replace("\n", " ").split(" - "))
    return [kind(item.removeprefix("- ")) for item in items if item]


def title(metadata: Metadata) -> str:
    """Return the card's title."""
    name = metadata.name or "a model"
    return f"Model card: {wording.MODELS.get(name, name)} for {LABEL.title.lower()}"


def lacking(metadata: Metadata) -> list[str]:
    """Return the headings that a model has no metadata for, such as one of an earlier release."""
    shown = content.available_sections(metadata.as_dict())
    return [heading for heading in content.NEEDED if heading not in shown]


def as_markdown(metadata: Metadata) -> str:
    """Return the card as Markdown."""
    text = f"# {title(metadata)}\n\n{_sections(metadata, 'markdown.j2')}"
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def as_html(metadata: Metadata) -> str:
    """Return the card as one page that needs nothing from elsewhere."""
    template = environment().get_template("page.html.j2")
    return template.render(title=title(metadata), body=as_fragment(metadata))


def as_fragment(metadata: Metadata) -> str:
    """Return the card's sections as HTML, with headings of level 2; `card.css` is their style."""
    return _sections(metadata, "html.j2")


def _sections(metadata: Metadata, form: str) -> str:
    m = metadata.as_dict()
    template = environment(html=form == "html.j2").get_template("card.j2")
    return template.render(
        m=m,
        form=form,
        level=2,
        shown=content.available_sections(m),
        source=metadata.source,
        population=wording.population(metadata),
        why_low=wording.why_low(metadata),
        kind=wording.MODELS.get(metadata.name or "", metadata.name),
    )


def write(folder: Path, metadata: Metadata) -> list[Path]:
    """Write the card in both its forms into a folder, and return the files."""
    texts = {"card.md": as_markdown(metadata), "card.html": as_html(metadata)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]
