// The conformance test of plugins: what an author runs before publishing one. `weir check` and a
// gtest are its front ends; it depends on neither.
//
//   PluginReport report = CheckPlugin("retention.so");
//   std::cout << report.ToString();
//   return report.ok() ? 0 : 1;
#ifndef WEIR_RUNTIME_PLUGIN_CHECK_PLUGIN_H_
#define WEIR_RUNTIME_PLUGIN_CHECK_PLUGIN_H_

#include <string>
#include <vector>

namespace weir::runtime {

struct PluginReport {
  struct Finding {
    bool error;        // otherwise advice
    std::string text;  // "task 'counting': ..."
  };
  std::string file;
  std::vector<std::string> passed;  // what was checked and holds, a line each
  std::vector<Finding> findings;

  bool ok() const;
  // A line per check: "ok", "advice" or "ERROR", then the text.
  std::string ToString() const;
};

// Checks a .mlir file or a shared library: that it loads, that what it holds has docs, and that its
// tasks keep the promises of weir_plugin.h: instances with the default options, options they don't
// know refused, tokens and targets in range and all written, nothing written beside the buffers,
// the same answer each time, from several threads and from a second instance. The layers' IR is not
// parsed, and kernels are not called: the compiler does that.
PluginReport CheckPlugin(const std::string& file);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PLUGIN_CHECK_PLUGIN_H_
