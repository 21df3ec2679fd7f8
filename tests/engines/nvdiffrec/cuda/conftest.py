from tests.render.cuda.conftest import emulator, on_emulator  # noqa: F401
