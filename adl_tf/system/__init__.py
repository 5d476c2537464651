"""The machine under the programs: files, signals, progress, settings and the start of libraries."""
