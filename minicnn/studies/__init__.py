"""Studies of training: questions that a lecture asks, each answered by numbers and a figure.

    from minicnn import data, figures, studies
    setup = studies.Setup(data.read("digits"), data.read("digits", "test"))
    findings = studies.study("dropout").run(setup)
    figures.save(figures.study_figure(findings), "dropout.png")

On scikit-learn's digits each takes about a minute; any data set serves. `minicnn study` lists them.
"""

from minicnn.studies.base import Findings, Setup, Study, repeated
from minicnn.studies.registry import STUDIES, study

__all__ = ["STUDIES", "Findings", "Setup", "Study", "repeated", "study"]
