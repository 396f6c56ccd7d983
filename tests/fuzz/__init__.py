"""Fuzzers: what a hostile or damaged network says to the library, and what files may hold. See ci/fuzz.sh."""
