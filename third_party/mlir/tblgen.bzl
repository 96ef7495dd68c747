"""TableGen for MLIR: `td_library` names .td files, `gentbl` makes the .inc files from one."""

def td_library(name, srcs, deps = [], **kwargs):
    """TableGen files and those they include, for the deps of a gentbl."""
    native.filegroup(name = name, srcs = srcs + deps, **kwargs)

def gentbl(name, td_file, tbl_outs, docs = [], deps = [], **kwargs):
    """Runs mlir-tblgen on td_file, once per output.

    The outputs are included by their path from the root of the repository, and so are .td files by each other.

    Args:
      name: a cc_library (headers only) of this name holds all outputs.
      td_file: the .td file of this package.
      tbl_outs: list of (list of mlir-tblgen options, output file name).
      docs: like tbl_outs, for Markdown that no C++ includes (see //docs:manual).
      deps: td_library targets that td_file includes.
      **kwargs: handed to the cc_library.
    """
    for index, (options, out) in enumerate(tbl_outs + docs):
        native.genrule(
            name = "%s_%d" % (name, index),
            srcs = [td_file] + deps,
            outs = [out],
            cmd = "$(execpath @llvm//:mlir-tblgen) %s -I . -I external/llvm/include $(execpath %s) -o $@" %
                  (" ".join(options), td_file),
            message = "TableGen",
            tools = ["@llvm//:mlir-tblgen", "@llvm//:td_files"],
        )
    native.cc_library(
        name = name,
        textual_hdrs = [out for (_, out) in tbl_outs],
        **kwargs
    )
