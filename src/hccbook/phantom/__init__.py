"""Synthetic three-phase CT cohorts whose truth is known.

`simulate_clinical` makes the patients, `render_patient` their CT, `write_cohort` puts both on disk,
`truth` says how well an ideal observer of the planted risk would do.
`draw_null_features` gives patients features without images, which carry nothing.
`simulate_visits` adds repeated measurements, `simulate_hbv_dna` the virus, `simulate_deaths` deaths before HCC, each
from a stream of its own.
"""

from hccbook.phantom.clinical import LATENT_COLUMNS, simulate_clinical, simulate_segmentation_patients
from hccbook.phantom.ideal_observer import truth
from hccbook.phantom.longitudinal import LongitudinalSettings, simulate_deaths, simulate_hbv_dna, simulate_visits
from hccbook.phantom.null_features import draw_null_features
from hccbook.phantom.rendering import render_patient
from hccbook.phantom.scanner import SCANNERS, Scanner
from hccbook.phantom.writing import write_cohort, write_patients, write_segmentation_set
