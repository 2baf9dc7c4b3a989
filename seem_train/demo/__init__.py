"""A page and an HTTP API to look at photos with a model, correct what it found, and keep it for training.

`session` is one photo on the table, without a server; `server` puts sessions behind HTTP; `page/` is what a
browser shows. Start it with ``seem-train demo RUN``.
"""
