"""``python -m evaluation.gallery`` from the folder ``models``: one page of pictures, which needs nothing but itself."""

from __future__ import annotations

import argparse
import base64
import html
import sys
from pathlib import Path

from .__main__ import BINARY, HERE

PLOTS = {
    "gain.svg": "Quality, invariance and time of ĝ by the number of draws.",
    "steps.svg": "Retrieval where one step of T_α alone is applied.",
    "matching.svg": "Regions of held-out photographs matched with distorted copies: average precision by strength.",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem }
figure { margin: 1rem 0 2rem } figcaption { color: #555; margin-top: .4rem }
img { max-width: 100%; height: auto } img.pixels { image-rendering: pixelated; width: 100% }
"""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="evaluation.gallery", description="Write one self-contained HTML page about the trained networks.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    result.add_argument("models", nargs="*", default=["small", "medium"], help="folders in models/")
    result.add_argument("--binary", type=Path, default=BINARY, help="the server, which is started for each model")
    result.add_argument("--output", type=Path, default=HERE / "gallery.html")
    return result


def figure(picture: bytes, kind: str, caption: str, pixels: bool) -> str:
    """An image inside the page, with what it shows."""
    data = base64.b64encode(picture).decode()
    # Pixels stay pixels; a plot is drawn as fine as the screen is.
    style = ' class="pixels"' if pixels else ""
    text = html.escape(caption)
    image = f'<img{style} alt="{text}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def page(sections: list[str]) -> str:
    """The document around the models' sections."""
    head = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>exemplar: gallery</title><style>{STYLE}</style><h1>What the networks see</h1>"
        "<p>Made by a running server. The networks learned from six photographs; nearest neighbours and plots are of "
        "three photographs that they never saw. Credits and licences of all of them stand in the models' cards.</p>"
    )
    return head + "".join(sections) + "</html>\n"


def section(model: str, binary: Path) -> str:
    """Everything about one model."""
    import cv2

    from . import served, sheets

    def picture(pixels, caption: str) -> str:
        return figure(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), "png", caption, True)

    folder = HERE.parent / model
    kernels = sheets.filters(folder)  # Before a server is started: a network without is refused.
    with served.running(binary, folder) as client:
        found, ranks = sheets.neighbours(client)
        parts = [
            f"<h2>{html.escape(model)}</h2><h3>First filters</h3>",
            picture(kernels, "The kernels of the first convolution, the largest weights first."),
            "<h3>Surrogate classes</h3>",
            picture(sheets.surrogates(client, folder), "A row a class: an exemplar, then what T_α makes of it."),
            "<h3>Nearest neighbours</h3>",
            picture(found, (
                "A row a query: a patch, what T_α made of it (the query), then the nearest of 450 patches by g, the "
                f"right one framed. Rows were not chosen; the right patch comes at {', '.join(map(str, ranks))}."
            )),
        ]
    for name, caption in PLOTS.items():
        path = HERE / "results" / model / name
        if path.exists():
            parts.append(figure(path.read_bytes(), "svg+xml", caption, False))
        else:
            print(f"{path} is not there: python -m evaluation --model {model} makes it", file=sys.stderr)
    return "".join(parts)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        from exemplar_client import ExemplarError
        from training import photographs

        from . import served, sheets
    except ImportError as error:
        print(f"{error}: pip install ../clients/python -r evaluation/requirements.txt", file=sys.stderr)
        return 1
    if not options.binary.exists():
        print(f"error: {options.binary} is not there: make build, or --binary", file=sys.stderr)
        return 1
    missing = [name for name in options.models if not (HERE.parent / name / "config.json").exists()]
    if missing:
        print(f"error: models/ has no {', '.join(missing)}", file=sys.stderr)
        return 1
    try:
        text = page([section(model, options.binary) for model in options.models])
        options.output.write_text(text, encoding="utf-8")
    except (ExemplarError, OSError, photographs.PhotographError, served.ServerError, sheets.SheetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {len(text.encode()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
