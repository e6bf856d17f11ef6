"""The papers: what tells them apart (`Paper`), what they print, what they claim and leave open (`published`)."""

from hccbook.papers.paper import PAPERS, ROLES, Paper, find_paper, role_of_cohort
