"""The command line: `data` about clips and tables, `study` about runs and notebooks."""
