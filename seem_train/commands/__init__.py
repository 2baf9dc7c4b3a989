"""The commands of ``seem-train``, one module each; `seem_train.cli` mounts them."""
