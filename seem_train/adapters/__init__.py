"""Small trained branches beside frozen layers, and what each strategy trains."""
