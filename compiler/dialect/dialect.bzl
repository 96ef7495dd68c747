"""The macros that make up the dialect: one line per family of ops and per file of interfaces."""

load("//third_party/mlir:tblgen.bzl", "gentbl", "td_library")

def weir_op_interface(name, deps = []):
    """An op interface: <name>.td becomes <name>.h.inc and <name>.cpp.inc, in the library <name>_inc.

    Args:
      name: stem of the .td file.
      deps: td_library targets it includes.
    """
    td_library(name = name + "_td", srcs = [name + ".td"], deps = deps)
    gentbl(
        name = name + "_inc",
        td_file = name + ".td",
        tbl_outs = [
            (["-gen-op-interface-decls"], name + ".h.inc"),
            (["-gen-op-interface-defs"], name + ".cpp.inc"),
        ],
        docs = [(["-gen-op-interface-docs"], name + ".md")],
        deps = deps,
    )

def weir_op_family(name, deps = []):
    """A family of ops: <name>_ops.td becomes <name>_ops.h.inc and <name>_ops.cpp.inc, in the library <name>_ops_inc.

    The family's C++ is <name>_ops.h and <name>_ops.cpp; the latter defines
    `void weir::register<Name>Ops(WeirDialect &)`, which weir_dialect calls.

    Args:
      name: stem of the family, such as "scan".
      deps: td_library targets that <name>_ops.td includes, besides the dialect's own.
    """
    td_library(name = name + "_ops_td", srcs = [name + "_ops.td"], deps = deps + [":dialect_td"])
    gentbl(
        name = name + "_ops_inc",
        td_file = name + "_ops.td",
        tbl_outs = [
            (["-gen-op-decls", "-dialect=weir"], name + "_ops.h.inc"),
            (["-gen-op-defs", "-dialect=weir"], name + "_ops.cpp.inc"),
        ],
        docs = [(["-gen-op-doc", "-dialect=weir"], name + "_ops.md")],
        deps = deps + [":dialect_td"],
    )

def weir_op_families(name, families, interfaces, interface_deps = [], family_deps = {}):
    """All families and interfaces, and the list of families for C++ (op_families.inc).

    Args:
      name: a cc_library of this name holds every generated file; the filegroup <name>_manual, their documentation.
      families: stems of the families, in the order in which they are registered.
      interfaces: stems of the files of op interfaces; every family may include every one of them.
      interface_deps: td_library targets for the interfaces.
      family_deps: family -> further td_library targets it includes.
    """
    for interface in interfaces:
        weir_op_interface(interface, deps = interface_deps)
    for family in families:
        weir_op_family(family, deps = [":" + i + "_td" for i in interfaces] + family_deps.get(family, []))
    lines = ["WEIR_OP_FAMILY(%s)" % "".join([w.capitalize() for w in f.split("_")]) for f in families]
    native.genrule(
        name = name + "_list",
        outs = ["op_families.inc"],
        cmd = "printf '%%s\\n' %s > $@" % " ".join(["'%s'" % line for line in lines]),
    )
    native.filegroup(
        name = name + "_manual",
        srcs = [stem + suffix for stem in [f + "_ops" for f in families] + interfaces for suffix in [".md", ".td"]],
    )
    native.cc_library(
        name = name,
        textual_hdrs = ["op_families.inc"],
        deps = [":" + i + "_inc" for i in interfaces] + [":" + f + "_ops_inc" for f in families],
    )
