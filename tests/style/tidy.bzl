"""`tidy_test`: clang-tidy on every source file that some targets are made of.

Each file is an action of its own, so that only what changed is checked again.
"""

TidyInfo = provider(doc = "What clang-tidy said.", fields = {"logs": "depset of files, one per source"})

def _tidy_aspect_impl(target, ctx):
    transitive = []
    for attribute in ["deps", "srcs"]:
        for dep in getattr(ctx.rule.attr, attribute, []):
            if TidyInfo in dep:
                transitive.append(dep[TidyInfo].logs)
    logs = []
    if CcInfo in target and not target.label.workspace_name and hasattr(ctx.rule.files, "srcs"):
        context = target[CcInfo].compilation_context
        headers = depset(transitive = [context.headers])
        flags = ["-std=c++17"]
        flags += ["-D" + define for define in context.defines.to_list()]
        for folder in context.quote_includes.to_list():
            flags += ["-iquote", folder]
        for folder in context.includes.to_list() + context.system_includes.to_list():
            flags += ["-isystem", folder]
        for source in ctx.rule.files.srcs:
            if not source.is_source or source.extension not in ["cc", "cpp"]:
                continue
            log = ctx.actions.declare_file("%s.%s.tidy" % (ctx.rule.attr.name, source.basename))
            logs.append(log)
            ctx.actions.run_shell(
                command = "/usr/lib/llvm-22/bin/clang-tidy --quiet --config-file=%s %s -- %s > %s 2> /dev/null || true" %
                          (ctx.file._config.path, source.path, " ".join(flags), log.path),
                inputs = depset([source, ctx.file._config], transitive = [headers]),
                outputs = [log],
                mnemonic = "ClangTidy",
                progress_message = "Running clang-tidy on " + source.short_path,
            )
    return [TidyInfo(logs = depset(logs, transitive = transitive))]

tidy_aspect = aspect(
    implementation = _tidy_aspect_impl,
    attr_aspects = ["deps"],
    attrs = {"_config": attr.label(allow_single_file = True, default = "//:.clang-tidy")},
)

def _tidy_test_impl(ctx):
    logs = depset(transitive = [target[TidyInfo].logs for target in ctx.attr.targets]).to_list()
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        "#!/bin/sh\n# Fails if clang-tidy said anything about any file.\necho %d files\n! cat %s | grep .\n" %
        (len(logs), " ".join([log.short_path for log in logs])),
        is_executable = True,
    )
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles(logs))]

tidy_test = rule(
    implementation = _tidy_test_impl,
    attrs = {"targets": attr.label_list(aspects = [tidy_aspect], doc = "Their sources, and those of all they depend on.")},
    test = True,
)
