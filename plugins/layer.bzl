"""`weir_layer`: a layer is a folder with <layer>.mlir and its tests."""

load("//runtime/plugin:plugin_test.bzl", "weir_plugin_test")
load("//tests:lit.bzl", "lit_test_suite")

def weir_layer(name, check = []):
    """The plugin <name>.mlir, its conformance test, `weir check`, and the lit tests tests/*.mlir, which see all layers.

    Args:
      name: of the layer and its folder.
      check: flags of `weir check` that make the layer small.
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
    native.sh_test(
        name = "check_test",
        size = "large",
        srcs = ["//plugins:check_layer.sh"],
        args = ["$(rootpath //compiler:weir)", name] + check,
        data = ["//compiler:weir"],
    )
    lit_test_suite(
        name = "tests",
        srcs = native.glob(["tests/*.mlir"]),
        data = ["//plugins"],
    )
