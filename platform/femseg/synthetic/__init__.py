"""Synthetic people over real bone shapes, for a model that no patient's CT has trained.

In reading order: `settings` (who is drawn, what is scanned), `scene` (what lies where, without intensities), `anatomy`
(which makes scenes).
"""
