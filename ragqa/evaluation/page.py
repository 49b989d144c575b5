"""A report as one HTML page that needs nothing else: tables, and plots as inline SVG. Pure."""

from collections.abc import Sequence
from html import escape

from ragqa.evaluation.bootstrap import Estimate
from ragqa.evaluation.report import Comparison, EvalReport

WIDTH, HEIGHT, MARGIN, BOTTOM = 480, 300, 48, 60
COLOURS = ("#1f5fa8", "#b3541e")
ALLOWED = 0.15
"""Over-refusal at which `refusal_recall@0.15` is read off."""
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #ccc; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
.worse { color: #a11; font-weight: 600; } .better { color: #0a6b2d; font-weight: 600; }
"""


def html_page(report: EvalReport, comparisons: Sequence[Comparison] = ()) -> str:
    """The whole page. Names from the question set are escaped; it runs no script and loads nothing."""
    title = escape(f"ragqa eval: {report.set_name}")
    engine = escape(f"{report.engine} ({report.model})" if report.engine else "retrieval only")
    parts = [f"<h1>{title}</h1><p>Engine: {engine}</p>", metrics_table(report)]
    if comparisons:
        parts.append(comparisons_table(comparisons))
    lines = [("unanswerable", report.trade_off), ("gold documents removed", report.trade_off_gold_removed)]
    drawn = [
        (name, [(point.over_refusal, point.refusal_recall) for point in points])
        for name, points in lines
        if points
    ]
    if drawn:
        parts.append(curves("Refusal trade-off", "answerable questions refused", "others refused", drawn))
    if report.positions:
        parts.append(bars("Gold evidence cited, by the place of its block in the prompt", report.positions))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def metrics_table(report: EvalReport) -> str:
    """Value, interval and number of questions for each metric."""
    rows = [
        f"<tr><th scope=row>{escape(name)}</th>{number(one.value)}"
        f"<td class=number>{one.low:.3f} to {one.high:.3f}</td><td class=number>{one.n}</td></tr>"
        for name, one in report.metrics.items()
    ]
    head = "<tr><th>metric</th><th>value</th><th>95 % interval</th><th>questions</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def comparisons_table(comparisons: Sequence[Comparison]) -> str:
    """The verdict on each metric."""
    rows = [
        f"<tr><th scope=row>{escape(one.metric)}</th>{number(one.old)}{number(one.new)}"
        f'<td class="{one.verdict.replace(" ", "-")}">{one.verdict}</td></tr>'
        for one in comparisons
    ]
    head = "<tr><th>metric</th><th>baseline</th><th>now</th><th>verdict</th></tr>"
    return f"<h2>Against the baseline</h2><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def number(value: float) -> str:
    return f"<td class=number>{value:.3f}</td>"


def curves(
    title: str, across: str, up: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]
) -> str:
    """Named lines through points of the unit square, and where 0.15 of the answerable are refused."""
    at = x_of(ALLOWED)
    shapes = [
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y_of(0):.1f}" y2="{y_of(1):.1f}" stroke="#888" '
        f'stroke-dasharray="3 3"/><text x="{at + 4:.1f}" y="{y_of(0) - 6:.1f}" font-size="11" fill="#555">'
        f"{ALLOWED}</text>"
    ]
    for number, (name, points) in enumerate(lines):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        colour = COLOURS[number % len(COLOURS)]
        below = y_of(0.12 + 0.09 * (len(lines) - 1 - number))
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{x_of(1):.1f}" y="{below:.1f}" text-anchor="end" font-size="12" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return figure(title, axes(across, up) + "".join(shapes))


def bars(title: str, values: Sequence[tuple[int, Estimate]]) -> str:
    """A bar a place, with its interval."""
    step = (WIDTH - 2 * MARGIN) / len(values)
    shapes = []
    for place, (label, one) in enumerate(values):
        left, middle = MARGIN + place * step, MARGIN + (place + 0.5) * step
        shapes.append(
            f'<rect x="{left + 0.15 * step:.1f}" y="{y_of(one.value):.1f}" width="{0.7 * step:.1f}" '
            f'height="{y_of(0) - y_of(one.value):.1f}" fill="#7fa9d6"/>'
            f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{y_of(one.low):.1f}" y2="{y_of(one.high):.1f}" '
            f'stroke="#1b1b1b"/>'
            f'<text x="{middle:.1f}" y="{y_of(0) + 16:.1f}" text-anchor="middle" font-size="11">'
            f"{label}</text>"
            f'<text x="{middle:.1f}" y="{y_of(0) + 29:.1f}" text-anchor="middle" font-size="9" fill="#555">'
            f"{one.n}</text>"
        )
    across = "place of the block, and questions below it"
    return figure(title, axes(across, "share of questions", ticks_across=False) + "".join(shapes))


def axes(across: str, up: str, *, ticks_across: bool = True) -> str:
    """Both axes from 0 to 1 with their labels."""
    lines = [
        f'<path d="M{MARGIN},{y_of(1):.1f} V{y_of(0):.1f} H{x_of(1):.1f}" fill="none" stroke="#555"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle" font-size="12">'
        f"{escape(across)}</text>",
        f'<text transform="translate(13 {y_of(0.5):.1f}) rotate(-90)" text-anchor="middle" font-size="12">'
        f"{escape(up)}</text>",
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        label = f"{tick:g}"
        lines.append(
            f'<text x="{MARGIN - 6}" y="{y_of(tick) + 4:.1f}" text-anchor="end" font-size="11">{label}</text>'
        )
        if ticks_across:
            lines.append(
                f'<text x="{x_of(tick):.1f}" y="{y_of(0) + 16:.1f}" text-anchor="middle" font-size="11">'
                f"{label}</text>"
            )
    return "".join(lines)


def figure(title: str, shapes: str) -> str:
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{escape(title)}">'
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}{shapes}</svg></figure>"


def x_of(value: float) -> float:
    return MARGIN + value * (WIDTH - 2 * MARGIN)


def y_of(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - MARGIN / 2)
