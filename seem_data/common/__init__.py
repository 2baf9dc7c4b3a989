"""What both packages do in one way: write files whole, print what steers no terminal, read YAML that ends,
choose colours that differ. It knows neither of them, and nothing heavy is loaded but by who needs it."""
