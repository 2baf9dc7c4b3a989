"""Image trunks other than plain FocalNet; `backbone.py` says what every trunk offers."""
