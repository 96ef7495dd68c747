"""`lit_test_suite`: one Bazel test per file, run by LLVM's lit."""

def lit_test_suite(name, srcs, tools = ["//compiler/tools:weir-opt"], data = [], size = "small", tags = [], **kwargs):
    """One test per file of srcs: `<file>.test`. The RUN lines find the tools, FileCheck, not and LLVM's tools on PATH.

    Substitutions besides lit's own: %{root} is the root of the repository (for files of `data`).

    Args:
      name: a test_suite of this name holds them all.
      srcs: the files with RUN lines.
      tools: binaries that go on PATH.
      data: files that the tests read, besides those in the same folder's `inputs/`.
      size: as for any test.
      tags: as for any test.
      **kwargs: handed to each sh_test.
    """
    inputs = native.glob(["inputs/**"])
    for src in srcs:
        native.sh_test(
            name = src + ".test",
            size = size,
            srcs = ["//tests:lit_runner.sh"],
            args = ["$(rootpath %s)" % src] + ["$(rootpath %s)" % tool for tool in tools],
            data = [src, "//tests:lit.cfg.py"] + inputs + tools + data,
            tags = tags,
            **kwargs
        )
    native.test_suite(name = name, tests = [":" + src + ".test" for src in srcs])
