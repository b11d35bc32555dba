"""How training went: curves of loss, accuracy and learning rate."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcjax.reports.pages import palette
from bcjax.reports.pages.charts import INK, grid, style
from bcjax.reports.pages.story import Chart
from bcjax.reports.run.artefacts import Artefacts

# Of each chart: its file, its title, what it shows in training and in evaluation, its unit.
_CHARTS = (
    ("loss", "Loss", "train/loss", "log_loss", "nats"),
    ("accuracy", "Accuracy", "train/accuracy", "accuracy", ""),
    ("learning_rate", "Learning rate", "train/lr", "", ""),
)


def charts(run: Artefacts) -> list[Chart]:
    """Draws the curves that the metrics file holds."""
    return [chart for each in _CHARTS if (chart := _chart(run, *each))]


def _chart(
    run: Artefacts, name: str, title: str, training: str, evaluated: str, unit: str
) -> Chart | None:
    split = run.config.eval.split
    wanted = {"train": training} | ({split: f"{split}/{evaluated}"} if evaluated else {})
    curves = {
        of: [(line["step"], line[key]) for line in run.lines if line.get(key) is not None]
        for of, key in wanted.items()
    }
    if not any(curves.values()):
        return None
    with style():
        figure = Figure(figsize=(4.6, 2.6), layout="constrained")
        axis = figure.add_subplot()
        for of, points in curves.items():
            if points:
                marker = "o" if len(points) < 40 else None
                colour = palette.SPLITS.get(of, INK)
                axis.plot(*zip(*points, strict=True), color=colour, lw=1.4, label=of,
                          marker=marker, ms=2.5)  # fmt: skip
        chosen = run.result["checkpoint"]
        if chosen:
            axis.axvline(chosen, color=INK, lw=0.8, ls=":", label=f"checkpoint {chosen:,}")
        axis.set_xlabel("step")
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        grid(axis)
        figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1.4)
    return Chart(name, title, figure, _CAPTIONS.get(name, ""))


_CAPTIONS = {
    "loss": "In training the mean of what is minimised (with label smoothing, class weights and "
    "augmented pictures), in evaluation the log loss of pictures as they are.",
}
