"""Networks: the graph, its rules, its shapes, its files, and parts of it that run."""
