"""The two papers: what they are, what they print, what they claim and leave open."""
