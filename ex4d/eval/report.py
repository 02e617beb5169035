"""An evaluation as a page: self-contained HTML with tables, plots and pictures, or the tables alone as Markdown."""

import base64
import math
from collections.abc import Sequence
from html import escape

import cv2

from ex4d.eval import plots
from ex4d.eval.extras import Extras
from ex4d.eval.geometry import VariantScores
from ex4d.eval.pictures import LEGEND, Picture
from ex4d.eval.summary import FULL_RANGE, RANGES, angle_table, extra_table, known_table, scene_table, summarise
from ex4d.eval.tables import Table, number
from ex4d_ground.arrays import UInt8

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#20242c;background:#fbfbfa;max-width:1240px;margin:2.2rem auto;
padding:0 1.4rem}
h1{font-size:1.7rem;margin:0 0 .2rem}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;border-bottom:1px solid #dcdcd6;padding-bottom:.25rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{max-width:52rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;margin:.5rem 0 1rem}
th,td{padding:.3rem .65rem;text-align:right;border-bottom:1px solid #e6e6e0;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{background:#f0f0ea;font-weight:600}
.note{color:#666c78;font-size:.86rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(460px,1fr));gap:1rem}
.plots img{width:100%;background:#fff;border:1px solid #e6e6e0}
figure{margin:.4rem 0 1.1rem}
figure img{width:100%}
figcaption{font-size:.85rem;color:#444b57}
.key span{display:inline-block;margin-right:1.1rem;font-size:.85rem}
.key i{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;vertical-align:-.1rem}
"""
"""How the reports look."""


def html_report(
    title: str, scores: Sequence[VariantScores], pictures: Sequence[Picture], extras: Sequence[Extras] = ()
) -> str:
    """The whole page as one string; every number in its tables is in the JSON as well."""
    done = [s for s in scores if s.frames]
    scenes = sorted({f.scene for s in done for f in s.frames})
    kinds = sorted({k for s in done for k in summarise(s)["by_kind"]})
    tables = [
        ("Mask against true visibility, by angle", _ANGLE_TEXT, angle_table(done, unit="°").html()),
        ("By range", _RANGE_TEXT, _metric_table(done, "by_range", [*RANGES, FULL_RANGE])),
        ("By kind of move", "", _metric_table(done, "by_kind", kinds)),
        ("By scene", "<p>IoU, and false-visible without the unknowable.</p>", scene_table(done).html()),
    ]
    if extras:
        tables.append(("Thickness over time, and what other frames fill in", _EXTRAS_TEXT, extra_table(extras).html()))
    missing = "".join(f"<li>{escape(s.variant.name)}: {escape(s.unavailable)}</li>" for s in scores if s.unavailable)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=note>{len(scenes)} scenes ({escape(', '.join(scenes))}), {len(done)} variants. Every scene counts "
        "the same: means are taken within a scene first.</p>",
        *(f"<h2>{head}</h2>{text}{table}" for head, text, table in tables),
        _plots(done),
        _picture_section(pictures),
        f"<h2>Not computed</h2><ul>{missing}</ul>" if missing else "",
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def markdown_tables(title: str, scores: Sequence[VariantScores], extras: Sequence[Extras] = ()) -> str:
    """Everything a page about an evaluation needs. Shares of falsely visible pixels are without the unknowable."""
    done = [s for s in scores if s.frames]
    parts = [
        f"# {title}",
        "Mask IoU, and the falsely visible share without the unknowable.",
        known_table(done).markdown(),
        "## By scene",
        scene_table([s for s in done if not s.variant.angles_only]).markdown(),
    ]
    if extras:
        parts += ["## Thickness over time, and what other frames fill in", extra_table(extras).markdown()]
    missing = [f"- {s.variant.name}: {s.unavailable}" for s in scores if s.unavailable]
    if missing:
        parts += ["## Not measured everywhere", "\n".join(missing)]
    return "\n\n".join(parts) + "\n"


_ANGLE_TEXT = (
    "<p>IoU of the guide's mask with what the source truly showed; in brackets the share of the guide's visible pixels "
    "that are false, all and without the unknowable (surfaces that were never in the source's picture).</p>"
)
_RANGE_TEXT = (
    "<p>Orbits by their largest angle, as EX-4D reports them; the full range pools all orbits to both sides. PSNR and "
    "SSIM count where guide and truth are both visible.</p>"
)
_EXTRAS_TEXT = (
    "<p>Automatic thickness of what stays at a depth edge: its standard deviation over time as a share of its mean. "
    "With other frames: the share of the picture that they fill in, how much of that is the true surface, and its "
    "PSNR.</p>"
)
_COLUMNS = (
    ("iou", "IoU", 3, 1), ("precision", "precision", 3, 1), ("recall", "recall", 3, 1),
    ("false_visible", "false-visible %", 2, 100), ("false_visible_known", "known only %", 2, 100),
    ("psnr", "PSNR dB", 2, 1), ("ssim", "SSIM", 3, 1), ("reprojection_px", "reprojection px", 2, 1),
    ("warped_error", "warped error", 2, 1), ("true_warped_error", "(floor)", 2, 1),
    ("mask_flicker", "mask flicker %", 2, 100), ("true_mask_flicker", "(truth)", 2, 100),
)  # fmt: skip


def _metric_table(scores: Sequence[VariantScores], group: str, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        for s in scores:
            m = summarise(s)[group].get(name)
            if m is not None:
                cells = [number(scale * m.get(key, math.nan), digits) for key, _, digits, scale in _COLUMNS]
                rows.append([name, s.variant.name, *cells])
    return Table(["", "variant", *(label for _, label, _, _ in _COLUMNS)], rows).html()


def _plots(scores: Sequence[VariantScores]) -> str:
    if not scores:
        return ""
    drawn = [
        plots.by_angle(scores, "iou", "mask IoU"),
        plots.by_angle(scores, "false_visible_known", "false-visible without unknowable (%)", percent=True),
        plots.by_angle(scores, "psnr", "PSNR where visible (dB)"),
        plots.by_scene(scores, "iou", "mask IoU, all moves"),
    ]
    images = "".join(f"<img alt='plot' src='data:image/png;base64,{base64.b64encode(p).decode()}'>" for p in drawn)
    return f"<h2>Plots</h2><div class=plots>{images}</div>"


def _picture_section(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    key = "".join(f"<span><i style='background:rgb{colour}'></i>{escape(text)}</span>" for colour, text in LEGEND)
    parts = [
        "<h2>Pictures</h2><p>From left: source, truth, what of the truth the source showed, guide, and where the "
        f"guide is wrong.</p><p class=key>{key}</p>"
    ]
    scene = ""
    for p in pictures:
        if p.scene != scene:
            scene = p.scene
            parts.append(f"<h3>{escape(scene)}</h3>")
        parts.append(
            f"<figure><img alt='{escape(p.caption, quote=True)}' src='data:image/jpeg;base64,{jpeg(p.image)}'>"
            f"<figcaption>{escape(p.caption)}</figcaption></figure>"
        )
    return "".join(parts)


def jpeg(image: UInt8) -> str:  # [H, W, 3]
    """The picture as a page holds it: a JPEG in base64."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return base64.b64encode(data.tobytes()).decode()
