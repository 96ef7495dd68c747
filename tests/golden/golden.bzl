"""One test per golden case."""

def golden_tests(name, weir, models, tolerance = "1e-5", tags = []):
    """Runs each model through `weir run` and compares outputs and gradients.

    Args:
      name: of the suite.
      weir: the driver.
      models: the cases' models; the tensors lie next to them.
      tolerance: of max|error| / max|reference|, for each tensor.
      tags: of each test.
    """
    tests = []
    for model in models:
        case = model[:-len(".mlir")]
        tests.append(case + "_test")
        native.sh_test(
            name = case + "_test",
            size = "small",
            srcs = ["golden_test.sh"],
            args = [
                "$(rootpath %s)" % weir,
                "$(rootpath :golden)",
                "$(rootpath %s)" % model,
                "$(rootpath %s.safetensors)" % case,
                tolerance,
            ],
            data = [
                model,
                case + ".safetensors",
                ":golden",
                weir,
            ],
            tags = tags,
        )
    native.test_suite(name = name, tests = tests, tags = tags)
