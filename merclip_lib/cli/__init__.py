"""The command line: `data` about clips, `study` trains, `reports` tells and checks, and `look`."""
