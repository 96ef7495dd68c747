"""A precompiled header of the MLIR headers that most files include. It makes compiling a pass 3 to 10 times quicker.

`mlir_cc_library`, `mlir_cc_binary` and `mlir_cc_test` are cc_library and so on with this header and with MLIR in their deps.
Nothing else is different: every file still includes what it uses. They can have no copts that change the language (-fopenmp,
-fsanitize).
"""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# Goes to the deps of a target with MLIR_COPTS.
MLIR_PCH = "//third_party/mlir:pch"

# -MMD: the headers inside are the system's and don't count among a file's dependencies; what made the header does.
MLIR_COPTS = [
    "-include-pch",
    "$(BINDIR)/third_party/mlir/mlir.pch",
    "-MMD",
    "-Wno-unused-command-line-argument",
]

def mlir_cc_library(name, deps = [], copts = [], **kwargs):
    """cc_library with MLIR, precompiled."""
    native.cc_library(name = name, copts = MLIR_COPTS + copts, deps = deps + [MLIR_PCH, "@llvm//:mlir"], **kwargs)

def mlir_cc_binary(name, deps = [], copts = [], **kwargs):
    """cc_binary with MLIR, precompiled."""
    native.cc_binary(name = name, copts = MLIR_COPTS + copts, deps = deps + [MLIR_PCH, "@llvm//:mlir"], **kwargs)

def mlir_cc_test(name, deps = [], copts = [], **kwargs):
    """cc_test with MLIR, precompiled."""
    native.cc_test(name = name, copts = MLIR_COPTS + copts, deps = deps + [MLIR_PCH, "@llvm//:mlir"], **kwargs)

def _pch_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    context = ctx.attr.headers[CcInfo].compilation_context
    output = ctx.actions.declare_file(ctx.attr.out)

    # What a .pch holds are absolute paths. To be the same in every checkout, and so to be shared through a cache of compiled
    # files, it is made from paths of the system only: the headers' own, and any header of the system as the main file.
    includes = ["-isystem", ctx.attr.root]
    for header in ctx.attr.includes:
        includes += ["-include", header]
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = "/usr/include/stdc-predef.h",
        output_file = output.path,
        use_pic = True,
        preprocessor_defines = context.defines,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + includes + [
            "-w",
            "-x",
            "c++-header",
            "-Xclang",
            "-fno-pch-timestamp",
            "-fpch-instantiate-templates",
        ],
    )
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
        ),
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        inputs = depset(transitive = [context.headers, toolchain.all_files]),
        outputs = [output],
        mnemonic = "PrecompiledHeader",
        progress_message = "Precompiling MLIR's headers",
    )
    return [DefaultInfo(files = depset([output]))]

precompiled_header = rule(
    implementation = _pch_impl,
    attrs = {
        "headers": attr.label(providers = [CcInfo], doc = "The library whose headers these are."),
        "includes": attr.string_list(doc = "The headers."),
        "out": attr.string(doc = "Name of the output, such as mlir.pch."),
        "root": attr.string(doc = "The folder of the system that the headers are in."),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
