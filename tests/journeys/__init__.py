"""One story a file, on real parts: samples to books."""
