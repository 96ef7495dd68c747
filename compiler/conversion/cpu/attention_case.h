// Kernels of weir.attention and weir.attention_vjp as text: for tests and benchmarks.

#ifndef WEIR_COMPILER_CONVERSION_CPU_ATTENTION_CASE_H_
#define WEIR_COMPILER_CONVERSION_CPU_ATTENTION_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace weir {

struct AttentionCase {
  int64_t batch = 1, queries = 8, keys = 8, heads = 1, features = 8, valueFeatures = 8;
  std::string element = "f32", kernel = "softmax", window = "causal";
  int64_t windowSize = 0;
  bool bias = false, gate = false, segments = false;

  bool softmax() const { return kernel == "softmax"; }
  bool cached() const { return keys > queries; }
  std::string wide() const { return element == "f64" ? "f64" : "f32"; }
  int64_t diagonals() const { return 2 * keys - 1; }

  /// Arguments of both kernels: q, k, v; then bias, gate (not of the gradient), segments and
  /// position (`tensor<batch x i64>`), each if there is one; then, of the gradient, result and
  /// log_sum (for a softmax) and the result's cotangent. Results: result and log_sum (for a
  /// softmax); dq, dk, dv and dbias.
  std::string text(bool backward) const {
    std::string names, types, arguments, operands;
    auto add = [&](const std::string& name, const std::string& type, const std::string& before,
                   const std::string& after) {
      arguments += (arguments.empty() ? "%" : ", %") + name + ": " + type;
      operands += before + "%" + name + after;
      types += (types.empty() ? "" : ", ") + type;
    };
    std::string q = sequence(queries, features, element), k = sequence(keys, features, element),
                v = sequence(keys, valueFeatures, element),
                out = sequence(queries, valueFeatures, wide()),
                sums = tensor({batch, heads, queries}, wide()),
                diagonal = tensor({diagonals()}, wide());
    std::string head = (backward ? " heads " : " num_heads ") + std::to_string(heads);
    add("q", q, "", ", ");
    add("k", k, "", ", ");
    add("v", v, "", head);
    if (bias) add("b", diagonal, " bias(", ")");
    if (gate && !backward) add("g", out, " gate(", ")");
    if (segments) add("s", tensor({batch, queries}, "i32"), " segments(", ")");
    if (cached()) add("p", tensor({batch}, "i64"), " position(", ")");
    if (backward && softmax()) {
      add("o", out, " saved(", ", ");
      add("l", sums, "", ")");
    }
    if (backward) add("d", out, " cotangent(", ")");
    std::string settings = " kernel(\"" + kernel + "\") window(\"" + window + "\"" +
                           (windowSize ? ", " + std::to_string(windowSize) : "") + ")";
    if (!backward && softmax()) settings += " log_sums";
    std::vector<std::string> results = {out};
    if (backward) results = {q, k, v};
    if (backward && bias) results.push_back(diagonal);
    if (!backward && softmax()) results.push_back(sums);
    std::string resultTypes, values;
    for (size_t i = 0; i < results.size(); ++i) {
      resultTypes += (i ? ", " : "") + results[i];
      values += (i ? ", %r" : "%r") + std::to_string(i);
    }
    return "func.func @k(" + arguments + ") -> (" + resultTypes +
           ") attributes {weir.kernel, weir.row_rank = 0 : i64} {\n" + values +
           " = weir.attention" + (backward ? "_vjp " : " ") + operands + settings + " : (" + types +
           ") -> (" + resultTypes + ")\nreturn " + values + " : " + resultTypes + "\n}";
  }

 private:
  static std::string tensor(std::vector<int64_t> shape, const std::string& type) {
    std::string result = "tensor<";
    for (int64_t extent : shape) result += std::to_string(extent) + "x";
    return result + type + ">";
  }
  std::string sequence(int64_t length, int64_t each, const std::string& type) const {
    return tensor({batch, length, heads * each}, type);
  }
};

}  // namespace weir

#endif  // WEIR_COMPILER_CONVERSION_CPU_ATTENTION_CASE_H_
