"""Numbers: the meaning of int8 values, how weights are rounded, how noise is measured."""
