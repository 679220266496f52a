"""The commands' arguments and help. Heavy libraries load inside the command that needs them: --help is instant."""
