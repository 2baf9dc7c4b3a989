"""Image trunks; `base` says what each offers, `build` makes one."""
