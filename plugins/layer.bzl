"""`weir_layer`: a layer is a folder with <layer>.mlir and its tests."""

load("//runtime/plugin:plugin_test.bzl", "weir_plugin_test")
load("//tests:lit.bzl", "lit_test_suite")

def weir_layer(name):
    """The plugin <name>.mlir, its conformance test, and the lit tests tests/*.mlir, which see all layers.

    Args:
      name: of the layer and its folder.
    """
    native.filegroup(
        name = name,
        srcs = [name + ".mlir"],
        visibility = ["//visibility:public"],
    )
    weir_plugin_test(
        name = "conformance_test",
        plugin = name + ".mlir",
    )
    lit_test_suite(
        name = "tests",
        srcs = native.glob(["tests/*.mlir"]),
        data = ["//plugins"],
    )
