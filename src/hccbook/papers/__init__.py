"""The papers: what tells them apart (`Paper`), what they print, claim and leave open (`published`), `checklists`."""

from hccbook.papers.paper import PAPERS, ROLES, Paper, find_paper, role_of_cohort
