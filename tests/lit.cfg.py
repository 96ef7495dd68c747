"""Configuration of lit for one test file; lit_runner.sh copies it above the test."""

import os

import lit.formats

config.name = "weir"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".sh", ".td"]
config.excludes = ["inputs"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(os.path.dirname(__file__), "out")
config.environment["PATH"] = os.environ["WEIR_LIT_PATH"] + ":/usr/bin:/bin"
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input-filter=error"
for name in ("RUNFILES_DIR", "TEST_SRCDIR", "TEST_TMPDIR", "HOME", "ASAN_OPTIONS", "OMP_NUM_THREADS",
             "WEIR_CACHE"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.substitutions.append(("%{root}", os.environ["WEIR_LIT_ROOT"]))
