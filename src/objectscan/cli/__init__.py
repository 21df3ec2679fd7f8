"""The command `objectscan`: one file a verb, imported when the verb is called so that `--help` is quick."""
