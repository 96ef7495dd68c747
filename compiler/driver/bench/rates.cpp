#include "compiler/driver/bench/rates.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace weir::bench {

namespace {

using Words = std::vector<std::pair<std::string, std::string>>;

std::string fill(const char* text, const Words& words) { return absl::StrReplaceAll(text, words); }

/// c = a b for a of m x k. B's layout is that of a weight (n x k) or its transpose (k x n), so that
/// one of the two is what a forward product reads, the other what a backward one does.
std::string productText(const std::string& name, int64_t m, int64_t n, int64_t k, bool isWeight,
                        const std::string& type) {
  std::string widened = type == "bf16" ? R"(
    %xw = arith.extf %x : bf16 to f32
    %yw = arith.extf %y : bf16 to f32
    %p = arith.mulf %xw, %yw : f32)"
                                       : fill(R"(
    %p = arith.mulf %x, %y : $t)",
                                              {{"$t", type}});
  std::string sum = type == "bf16" ? "f32" : type;
  return fill(R"(
func.func @$name(%a: tensor<$mx$kx$t> {weir.variable = "$name.a"},
                 %b: tensor<$bx$t> {weir.variable = "$name.b"})
    -> (tensor<$mx$nx$s> {weir.variable = "$name.c"}) attributes {weir.entry} {
  %zero = arith.constant 0.0 : $s
  %e = tensor.empty() : tensor<$mx$nx$s>
  %f = linalg.fill ins(%zero : $s) outs(%e : tensor<$mx$nx$s>) -> tensor<$mx$nx$s>
  %c = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> $map>,
                                        affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<$mx$kx$t>, tensor<$bx$t>) outs(%f : tensor<$mx$nx$s>) {
  ^bb0(%x: $t, %y: $t, %o: $s):$widened
    %r = arith.addf %o, %p : $s
    linalg.yield %r : $s
  } -> tensor<$mx$nx$s>
  return %c : tensor<$mx$nx$s>
}
)",
              {{"$name", name},
               {"$map", isWeight ? "(n, k)" : "(k, n)"},
               {"$b", isWeight ? absl::StrCat(n, "x", k) : absl::StrCat(k, "x", n)},
               {"$m", absl::StrCat(m)},
               {"$n", absl::StrCat(n)},
               {"$k", absl::StrCat(k)},
               {"$t", type},
               {"$s", sum},
               {"$widened", widened}});
}

/// 128 MiB each: more than a core's share of a third-level cache.
constexpr int64_t kStreamElements = 32 << 20;

std::string streamText() {
  return fill(R"(
func.func @fill() -> (tensor<$nxf32> {weir.variable = "stream.a"}, tensor<$nxf32> {weir.variable = "stream.b"})
    attributes {weir.entry} {
  %half = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<$nxf32>
  %a = linalg.fill ins(%half : f32) outs(%e : tensor<$nxf32>) -> tensor<$nxf32>
  %b = linalg.fill ins(%half : f32) outs(%e : tensor<$nxf32>) -> tensor<$nxf32>
  return %a, %b : tensor<$nxf32>, tensor<$nxf32>
}
func.func @triad(%a: tensor<$nxf32> {weir.variable = "stream.a"}, %b: tensor<$nxf32> {weir.variable = "stream.b"})
    -> (tensor<$nxf32> {weir.variable = "stream.c"}) attributes {weir.entry} {
  %e = tensor.empty() : tensor<$nxf32>
  %c = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                       iterator_types = ["parallel"]}
      ins(%a, %b : tensor<$nxf32>, tensor<$nxf32>) outs(%e : tensor<$nxf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %three = arith.constant 3.0 : f32
    %p = arith.mulf %y, %three : f32
    %r = arith.addf %x, %p : f32
    linalg.yield %r : f32
  } -> tensor<$nxf32>
  return %c : tensor<$nxf32>
}
func.func @sum(%a: tensor<$nxf32> {weir.variable = "stream.a"}) -> (tensor<f32> {weir.output = "sum"})
    attributes {weir.entry} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %s = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
                       iterator_types = ["reduction"]}
      ins(%a : tensor<$nxf32>) outs(%f : tensor<f32>) {
  ^bb0(%x: f32, %o: f32):
    %r = arith.addf %o, %x : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  return %s : tensor<f32>
}
)",
              {{"$n", absl::StrCat(kStreamElements)}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<RateMeter>> RateMeter::create(Workspace& workspace,
                                                             Precision precision) {
  std::unique_ptr<RateMeter> meter(new RateMeter());
  std::string text = streamText();
  std::string type = stringifyPrecision(precision).str();
  for (auto [m, n, k] : {std::array<int64_t, 3>{512, 512, 512},
                         {1024, 512, 512},
                         {1024, 1024, 1024},
                         {2048, 2048, 512}}) {
    for (bool isWeight : {true, false}) {
      std::string name = absl::StrCat("product", meter->probes.size());
      absl::StrAppend(&text, productText(name, m, n, k, isWeight, type));
      meter->probes.push_back({name, {2.0 * m * n * k, 0}});
    }
  }
  meter->probes.push_back({"triad", {0, 12.0 * kStreamElements}});
  meter->probes.push_back({"sum", {0, 4.0 * kStreamElements}});
  auto module = workspace.parseText(text, "rates");
  if (!module.ok()) return module.status();
  absl::StatusOr<RunningProgram> program = startModule(workspace, **module, nullptr);
  if (!program.ok()) return program.status();
  meter->program = *std::move(program);

  RateMeter* self = meter.get();
  // What comes after the launch, such as copies of outputs, isn't its time.
  meter->program.session->SetObserver(
      [self](const runtime::LaunchTime&) { self->end = secondsOn(self->clock); });
  // Memory that was never written has no pages of its own.
  std::vector<runtime::HostTensor> none;
  if (absl::Status status = meter->program.session->Run("fill", {}, &none); !status.ok())
    return status;
  for (const runtime::Variable& variable : meter->program.session->program().variables) {
    if (absl::StartsWith(variable.spec.name, "stream")) continue;
    runtime::HostTensor value(variable.spec);
    for (int64_t i = 0; i < variable.spec.NumElements(); ++i)
      value.SetNumber(i, static_cast<double>(i % 15 - 7) / 8);
    if (absl::Status status = meter->program.session->WriteVariable(variable.spec.name, value);
        !status.ok())
      return status;
  }
  return meter;
}

absl::StatusOr<Rates> RateMeter::measure(ClockKind by) {
  clock = by;
  Rates rates;
  std::vector<runtime::HostTensor> outputs;
  for (const Probe& probe : probes) {
    double best = 0;
    for (int turn = 0; turn < 3; ++turn) {
      double start = secondsOn(clock);
      if (absl::Status status = program.session->Run(probe.entry, {}, &outputs); !status.ok())
        return status;
      best = turn == 0 ? end - start : std::min(best, end - start);
    }
    rates.flops = std::max(rates.flops, probe.work.flops / best);
    rates.bytes = std::max(rates.bytes, probe.work.bytes / best);
  }
  return rates;
}

}  // namespace weir::bench
