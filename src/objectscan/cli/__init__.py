"""The command `objectscan`. One file a verb; heavy imports stay inside the verbs so that `--help` is quick."""
