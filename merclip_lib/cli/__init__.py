"""The command line: `start` tries and looks around, `data`, `study` trains, `reports`, `look`."""
