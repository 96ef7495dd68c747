"""`weir_fuzz_test`: a libFuzzer target that is also a test."""

def weir_fuzz_test(name, srcs, corpus, deps = [], **kwargs):
    """A test that runs the fuzzer over its corpus and 2,000 mutations of it; `bazel run` runs it for longer.

        ./bazelw run --config=fuzz //tests/fuzz:NAME -- -max_total_time=600 $PWD/tests/fuzz/corpus

    Args:
      name: of the target.
      srcs: defines LLVMFuzzerTestOneInput.
      corpus: files that it starts from.
      deps: C++ libraries.
      **kwargs: handed to the cc_test.
    """
    native.cc_test(
        name = name,
        srcs = srcs,
        args = ["-runs=2000", "-seed=1", "-max_len=65536", "$$TEST_TMPDIR"] +
               ["$$(dirname $(rootpath %s))" % corpus[0]],
        copts = ["-fsanitize=fuzzer-no-link"],
        data = corpus,
        linkopts = ["-fsanitize=fuzzer"],
        deps = deps,
        **kwargs
    )
