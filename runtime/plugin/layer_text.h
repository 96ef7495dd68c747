#ifndef WEIR_RUNTIME_PLUGIN_LAYER_TEXT_H_
#define WEIR_RUNTIME_PLUGIN_LAYER_TEXT_H_

// Finds the layers in IR text without MLIR, which the runtime doesn't link.
//
//   ASSIGN_OR_RETURN(std::vector<LayerText> layers, FindLayers(text));
//   layers[0].name == "mingru"; layers[0].doc == "h_t = (1 - z_t) h_{t-1} + z_t c_t"
//
// It reads tokens only: comments and strings are told apart from code, but the IR is not checked.
// The compiler parses it later.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

struct LayerText {
  std::string name;  // without the '@'
  std::string doc;   // the comment block before the layer, without its slashes; may be empty
  int line = 0;      // of `weir.layer`, from 1
};

// The `weir.layer` ops of `text`, in their order, in pretty or generic syntax. An unterminated
// string, a NUL byte, or a `weir.layer` without a name is InvalidArgument, with the line.
absl::StatusOr<std::vector<LayerText>> FindLayers(absl::string_view text);

// Whether `name` can name a layer, a kernel or a task: letters, digits, '_', '$', '.', '-', no
// digit or '-' or '.' first.
bool IsValidName(absl::string_view name);

}  // namespace weir::runtime

#endif  // WEIR_RUNTIME_PLUGIN_LAYER_TEXT_H_
