"""The page templates. A package, so that they are part of the installed wheel."""
