"""`manual`: the pages of the manual, a folder made from what TableGen says of each file."""

def _manual_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add(folder.path)
    arguments.add_all(ctx.files.srcs)
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-B", ctx.file._script.path, arguments],
        inputs = ctx.files.srcs + [ctx.file._script],
        outputs = [folder],
        mnemonic = "Manual",
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles([folder]))]

manual = rule(
    implementation = _manual_impl,
    attrs = {
        "srcs": attr.label_list(
            allow_files = True,
            doc = "For each .td file its Markdown of the same stem, from mlir-tblgen.",
        ),
        "_script": attr.label(
            allow_single_file = True,
            default = "//docs:manual.py",
        ),
    },
)
