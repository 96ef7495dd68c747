"""The conformance test of a plugin."""

def weir_plugin_test(name, plugin, **kwargs):
    """Runs the conformance test on a plugin.

    Args:
      name: of the test.
      plugin: a .mlir file or a shared library (cc_binary with linkshared).
      **kwargs: of the test.
    """
    native.cc_test(
        name = name,
        size = "small",
        srcs = ["//runtime/plugin:conformance_test.cc"],
        args = ["$(rootpath %s)" % plugin],
        data = [plugin],
        deps = [
            "//runtime/plugin:check_plugin",
            "@googletest//:gtest",
        ],
        **kwargs
    )
