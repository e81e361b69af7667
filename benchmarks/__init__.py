"""What the product's figures are measured with: `python -m benchmarks` prints all of them as tables with ratios."""
