"""The model card, written from the run's own figures."""

from __future__ import annotations

import re
import textwrap
from collections import Counter

from . import exemplars, photographs, train


BUNDLED = (
    "Photographs bundled in scikit-image and scikit-learn",
    "under the licences above; the patches from china.jpg are crops of a photograph by danielbuechele, CC BY 2.0 "
    "(https://creativecommons.org/licenses/by/2.0/), resampled. The held-out photographs took no part in training.",
    "retrieval on the held-out photographs was not measured here. Six photographs are little; two of them, the retina "
    "and the stained tissue, are unlike everyday scenes.",
)
OWN = (
    "Files of a folder of one's own",
    "which are parts of the photographs above: their terms are to be stated here before the folder is passed on.",
    "that was not measured here.",
)
"""What is said of photographs: where they come from, under which terms, what they leave open."""


def text(
    configuration: train.Configuration, name: str, checkpoint: dict, data: train.Data, figures: dict, digest: str
) -> str:
    """Markdown for the model folder's README.md."""
    c, ranges = configuration, configuration.ranges
    trained, random = figures["trained"], figures["random"]
    step, maximum = checkpoint["step"], trained["maximum"]
    share = trained["bound"] / maximum
    counts = Counter(origin[0] for origin in data.origin)
    state = "" if step >= c.steps else f"**Half-trained: step {step:,} of {c.steps:,}.**\n\n"
    rows = [f"| {p.name} | {p.credit} | {p.package} | {counts[p.name]} |" for p in data.photographs]
    if c.photographs is None:
        rows += [f"| {p.name} | {p.credit} | {p.package} | held out |" for p in photographs.HELD_OUT]
    used = "\n".join(rows)
    origin, terms, limits = (BUNDLED if c.photographs is None else OWN)
    means = "\n".join(
        f"| ĝ, mean of {samples} draws | {row['top1']:.1%} | {row['bound']:.2f} | {row['bound'] / maximum:.0%} |"
        for samples, row in trained["mean_of_samples"].items()
        if samples > 1
    )
    machines = checkpoint.get("machines", ["a machine that was not noted"])
    sides = ", ".join(f"{side:g}" for side in exemplars.SIDES)
    return _filled(f"""# {name}: an Exemplar-CNN trained on {len(data.photographs)} photographs

{state}The {c.model} network of Dosovitskiy et al. 2014 (section 4.1), trained to tell {c.exemplars:,} exemplars apart
under random transformations, written by `python -m training` (`models/training/README.md`). sha256 of
`model.safetensors`: `{digest}`.

## Data
{origin}; {c.exemplars:,} exemplars of 32×32 from source sides of {sides}
pixels, positions by gradient energy. Exemplars of one photograph whose scales are within a factor of 1.5 keep
{c.distance:g} of the larger side between their centres along x or y; across larger steps of scale no distance is kept.
Since translation alone reaches {ranges.translation:g} of the side, neighbouring classes overlap in part, which limits
the bound.

| photograph | credit and licence | package | exemplars |
|---|---|---|---|
{used}

`exemplars.safetensors` holds a random {min(512, c.exemplars)} of the exemplars with their surroundings, {terms}

## Recipe
SGD with Nesterov momentum {c.momentum}, batch {c.batch}, {step:,} steps ({step * c.batch / 1e6:.2f} M samples),
learning rate {c.learning_rate} with a warm-up of {c.warm_up} steps and a cosine to zero, weight decay {c.weight_decay},
dropout {c.dropout} on the embedding, gradients clipped at norm {c.clip},
{"bfloat16 autocast" if c.bfloat16 else "float32"}, seed {c.seed}. Transformations: the ranges of the authors' published
configuration, contrast σ = {", ".join(f"{s:g}" for s in ranges.contrast_sigma)} (theirs: 1, 1, 0.5). No flips. Patches
were rounded to 8 bits, as a server sees them.
Time: {checkpoint["seconds"] / 60:.0f} minutes of wall clock, on {" and ".join(machines)}.

## Figures
Fresh transformations of the {c.exemplars:,} training exemplars ({trained["draws"]} draws each, seed {trained["seed"]},
streams that training did not use); the bound on the mutual information is ln N − cross entropy, at most
ln {c.exemplars} = {maximum:.2f} nats. ± is a 95 % interval over the draws.

| representation | top-1 | bound, nats | of ln N |
|---|---|---|---|
| g, one draw | {trained["top1"]:.1%} ± {trained["top1_half_width"]:.1%} | {trained["bound"]:.2f} ± {trained["bound_half_width"]:.2f} | {share:.0%} |
{means}
| random weights and head, one draw | {random["top1"]:.2%} ± {random["top1_half_width"]:.2%} | {random["bound"]:.2f} ± {random["bound_half_width"]:.2f} | {random["bound"] / maximum:.0%} |

The rows for ĝ bound the information in ĝ itself, not in one draw. Random weights stand with their random head, which
knows nothing; a head trained on random features would do better and was not measured.

`feature_scales` are 1 / RMS of the Euclidean norm of each layer's features over the training exemplars, maps max-pooled
over four quadrants, a flat layer's values four times as they are served, so that every layer weighs the same.

## Limits
The figures say how well the training exemplars are told apart, not how good the embedding is on other images: {limits}
One run, one seed (it sets the exemplars and the first weights; the draws of α
depend on the step alone). Not for recognising people, nor for medical use.
""")


def _filled(markdown: str) -> str:
    """Paragraphs of at most 120 columns; headings, tables and plots as they are."""
    def fill(paragraph: re.Match) -> str:
        return textwrap.fill(paragraph[0], 120, break_long_words=False, break_on_hyphens=False)

    return re.sub(r"^(?![#|!]).+(\n(?![#|!]).+)*", fill, markdown, flags=re.MULTILINE)


def merged(new: str, old: str, digest: str) -> tuple[str, list[str]]:
    """``new`` with the sections that ``old`` has from elsewhere, an evaluation's above all, and ``old``'s limits; if
    ``old`` speaks of other weights than ``digest``, ``new`` as it is, and the titles of what is lost."""
    head, *sections = re.split(r"^(?=## )", new, flags=re.MULTILINE)
    kept = re.split(r"^(?=## )", old, flags=re.MULTILINE)[1:]
    own = {_title(section) for section in sections}
    foreign = [section for section in kept if _title(section) not in own]
    if digest not in old:
        return new, [_title(section) for section in foreign]
    limits = [section for section in kept if _title(section) == "Limits"] or sections[-1:]
    return head + "".join(sections[:-1] + foreign + limits), []


def _title(section: str) -> str:
    return section.partition("\n")[0].removeprefix("## ").strip()
