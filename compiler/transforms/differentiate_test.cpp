// Derivative rules of arith, math, linalg and tensor, and of the scan, against central differences.

#include "compiler/transforms/gradient_test.h"

namespace weir {
namespace {

class DifferentiateTest : public GradientTest {
 protected:
  /// loss = sum(w * op(x...)) over tensors of four elements, with every x and w a parameter.
  std::string elementwise(const std::string& op, unsigned operands) {
    std::string arguments, names, types, body = op;
    for (unsigned i = 0; i < operands; ++i) {
      std::string n = std::to_string(i);
      arguments += "%x" + n + ": tensor<4xf64> {weir.param = \"x" + n + "\"}, ";
    }
    return "func.func @f(" + arguments +
           R"(%w: tensor<4xf64> {weir.param = "w"}) -> (tensor<f64> {weir.output = "loss"}) {
      )" + op +
           R"(
      %zero = arith.constant 0.0 : f64
      %e = tensor.empty() : tensor<f64>
      %z = linalg.fill ins(%zero : f64) outs(%e : tensor<f64>) -> tensor<f64>
      %loss = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
          iterator_types = ["reduction"]} ins(%y, %w : tensor<4xf64>, tensor<4xf64>) outs(%z : tensor<f64>) {
      ^bb0(%a: f64, %b: f64, %o: f64):
        %m = arith.mulf %a, %b : f64
        %n = arith.addf %o, %m : f64
        linalg.yield %n : f64
      } -> tensor<f64>
      return %loss : tensor<f64>
    })";
  }
  void checkUnary(const std::string& name, double low, double high) {
    SCOPED_TRACE(name);
    check(elementwise("%y = " + name + " %x0 : tensor<4xf64>", 1), low, high);
  }
  void checkBinary(const std::string& name, double low, double high) {
    SCOPED_TRACE(name);
    check(elementwise("%y = " + name + " %x0, %x1 : tensor<4xf64>", 2), low, high);
  }
};

TEST_F(DifferentiateTest, UnaryRules) {
  for (const char* op :
       {"arith.negf", "math.exp", "math.exp2", "math.expm1", "math.tanh", "math.sin", "math.cos",
        "math.sinh", "math.cosh", "math.atan", "math.erf", "math.absf"})
    checkUnary(op, -2.0, 2.0);
  for (const char* op : {"math.log", "math.log2", "math.log1p", "math.sqrt", "math.rsqrt"})
    checkUnary(op, 0.3, 3.0);
}

TEST_F(DifferentiateTest, BinaryRules) {
  for (const char* op : {"arith.addf", "arith.subf", "arith.mulf", "arith.maximumf",
                         "arith.minimumf", "arith.maxnumf", "arith.minnumf"})
    checkBinary(op, -2.0, 2.0);
  for (const char* op : {"arith.divf", "math.powf"}) checkBinary(op, 0.5, 3.0);
}

TEST_F(DifferentiateTest, SquareSelectFma) {
  check(elementwise("%y = arith.mulf %x0, %x0 : tensor<4xf64>", 1));
  check(elementwise("%y = math.fma %x0, %x1, %x2 : tensor<4xf64>", 3));
  check(elementwise(R"(%c = arith.cmpf olt, %x0, %x1 : tensor<4xf64>
      %y = arith.select %c, %x0, %x2 : tensor<4xi1>, tensor<4xf64>)",
                    3));
}

TEST_F(DifferentiateTest, ReluHasNoGradientAtZero) {
  std::string text = elementwise(R"(%k = arith.constant dense<0.0> : tensor<4xf64>
      %y = arith.maximumf %k, %x0 : tensor<4xf64>)",
                                 1);
  OwningOpRef<ModuleOp> module = parse(text);
  PassManager passes(&context);
  passes.addNestedPass<func::FuncOp>(createDifferentiate());
  ASSERT_TRUE(succeeded(passes.run(*module)));
  HostTensor x = {{4}, {-1.0, 0.0, 0.0, 2.0}}, w = {{4}, {1.0, 1.0, 1.0, 1.0}};
  auto results = Evaluator().run(*module->getOps<func::FuncOp>().begin(), {x, w});
  ASSERT_TRUE(succeeded(results));
  EXPECT_EQ((*results)[1].data, (std::vector<double>{0.0, 0.0, 0.0, 1.0}));
}

TEST_F(DifferentiateTest, BroadcastAndSum) {
  check(function("tensor<2x3x4xf64>", "tensor<4xf64>", "tensor<2x3xf64>", R"(
    %e = tensor.empty() : tensor<2x3xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<2x3xf64>) -> tensor<2x3xf64>
    %y = linalg.generic {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> (d)>,
        affine_map<(b, t, d) -> (b, t)>], iterator_types = ["parallel", "parallel", "reduction"]}
        ins(%x, %w : tensor<2x3x4xf64>, tensor<4xf64>) outs(%f : tensor<2x3xf64>) {
    ^bb0(%a: f64, %b: f64, %o: f64):
      %0 = arith.mulf %a, %b : f64
      %1 = math.tanh %0 : f64
      %2 = arith.mulf %1, %a : f64
      %3 = arith.addf %2, %o : f64
      linalg.yield %3 : f64
    } -> tensor<2x3xf64>
)"));
}

TEST_F(DifferentiateTest, ProductThatStartsFromATensor) {
  check(function("tensor<2x3xf64>", "tensor<3x3xf64>", "tensor<2x3xf64>", R"(
    %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
        affine_map<(m, n, k) -> (m, n)>], iterator_types = ["parallel", "parallel", "reduction"]}
        ins(%x, %w : tensor<2x3xf64>, tensor<3x3xf64>) outs(%x : tensor<2x3xf64>) {
    ^bb0(%a: f64, %b: f64, %o: f64):
      %0 = arith.mulf %a, %b : f64
      %1 = arith.addf %o, %0 : f64
      linalg.yield %1 : f64
    } -> tensor<2x3xf64>
)"));
}

TEST_F(DifferentiateTest, TransposedReadSeveralResultsAndIndex) {
  check(function("tensor<2x3xf64>", "tensor<3x2xf64>", "tensor<3x2xf64>", R"(
    %e = tensor.empty() : tensor<3x2xf64>
    %r:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>,
        affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%x, %w : tensor<2x3xf64>, tensor<3x2xf64>) outs(%e, %e : tensor<3x2xf64>, tensor<3x2xf64>) {
    ^bb0(%a: f64, %b: f64, %o: f64, %p: f64):
      %i = linalg.index 0 : index
      %k = arith.index_cast %i : index to i64
      %s = arith.sitofp %k : i64 to f64
      %0 = arith.mulf %a, %s : f64
      %1 = math.exp %b : f64
      %2 = arith.mulf %0, %1 : f64
      linalg.yield %2, %1 : f64, f64
    } -> (tensor<3x2xf64>, tensor<3x2xf64>)
    %y = arith.mulf %r#0, %r#1 : tensor<3x2xf64>
)"));
}

TEST_F(DifferentiateTest, OffsetAndUnitReads) {
  check(function("tensor<2x1x5xf64>", "tensor<2xf64>", "tensor<2x3xf64>", R"(
    %e = tensor.empty() : tensor<2x3xf64>
    %y = linalg.generic {indexing_maps = [affine_map<(b, t) -> (b, 0, t + 1)>, affine_map<(b, t) -> (b)>,
        affine_map<(b, t) -> (b, t)>], iterator_types = ["parallel", "parallel"]}
        ins(%x, %w : tensor<2x1x5xf64>, tensor<2xf64>) outs(%e : tensor<2x3xf64>) {
    ^bb0(%a: f64, %b: f64, %o: f64):
      %0 = arith.mulf %a, %b : f64
      linalg.yield %0 : f64
    } -> tensor<2x3xf64>
)"));
}

TEST_F(DifferentiateTest, Windows) {
  for (int dilation : {1, 2}) {
    std::string length = std::to_string(5 + dilation * 2), d = std::to_string(dilation);
    check(function("tensor<2x" + length + "x3xf64>", "tensor<3x3xf64>", "tensor<2x5x3xf64>",
                   R"(
      %e = tensor.empty() : tensor<2x5x3xf64>
      %f = linalg.fill ins(%zero : f64) outs(%e : tensor<2x5x3xf64>) -> tensor<2x5x3xf64>
      %y = linalg.generic {indexing_maps = [affine_map<(b, t, c, k) -> (b, t + k * )" +
                       d + R"(, c)>,
          affine_map<(b, t, c, k) -> (c, k)>, affine_map<(b, t, c, k) -> (b, t, c)>],
          iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
          ins(%x, %w : tensor<2x)" +
                       length + R"(x3xf64>, tensor<3x3xf64>) outs(%f : tensor<2x5x3xf64>) {
      ^bb0(%a: f64, %b: f64, %o: f64):
        %0 = math.tanh %a : f64
        %1 = arith.mulf %0, %b : f64
        %2 = arith.addf %o, %1 : f64
        linalg.yield %2 : f64
      } -> tensor<2x5x3xf64>
)"));
  }
}

TEST_F(DifferentiateTest, SlicesAndViews) {
  check(function("tensor<2x6xf64>", "tensor<3x2xf64>", "tensor<2x1xf64>", R"(
    %p = tensor.extract_slice %x[0, 0] [2, 2] [1, 1] : tensor<2x6xf64> to tensor<2x2xf64>
    %q = tensor.extract_slice %x[0, 2] [2, 4] [1, 1] : tensor<2x6xf64> to tensor<2x4xf64>
    %c = tensor.concat dim(1) %q, %p : (tensor<2x4xf64>, tensor<2x2xf64>) -> tensor<2x6xf64>
    %g = tensor.expand_shape %c [[0], [1, 2]] output_shape [2, 3, 2] : tensor<2x6xf64> into tensor<2x3x2xf64>
    %t = tensor.extract_slice %g[1, 0, 0] [1, 3, 2] [1, 1, 1] : tensor<2x3x2xf64> to tensor<3x2xf64>
    %u = arith.mulf %t, %w : tensor<3x2xf64>
    %i = tensor.insert_slice %u into %g[0, 0, 0] [1, 3, 2] [1, 1, 1] : tensor<3x2xf64> into tensor<2x3x2xf64>
    %v = tensor.collapse_shape %i [[0, 1], [2]] : tensor<2x3x2xf64> into tensor<6x2xf64>
    %m = arith.mulf %v, %v : tensor<6x2xf64>
    %y = tensor.extract_slice %m[1, 1] [2, 1] [1, 1] : tensor<6x2xf64> to tensor<2x1xf64>
)"));
}

/// loss = sum(sin(y)) + sum(last^2) of a scan with regions, over two batches, five steps, and a
/// state of two by three.
std::string scanFunction(const std::string& direction, const std::string& segments = "") {
  return R"(
  func.func @f(%x: tensor<2x5x2xf64> {weir.param = "x"}, %k: tensor<2x3xf64> {weir.param = "k"},
               %c: tensor<2x5x3xf64> {weir.param = "c"}, %h0: tensor<2x2x3xf64> {weir.param = "h0"}) -> (tensor<f64> {weir.output = "loss"}) {
    %segments = arith.constant dense<[[1, 1, 2, 2, 2], [1, 2, 3, 3, 4]]> : tensor<2x5xi32>
    %zero = arith.constant 0.0 : f64
    %e = tensor.empty() : tensor<f64>
    %z = linalg.fill ins(%zero : f64) outs(%e : tensor<f64>) -> tensor<f64>
    %y, %last, %states = weir.scan(%x, %k, %c) from %h0 )" +
         segments + " " + direction + R"( chunk(2)
        prologue {
        ^bb0(%xs: f64, %ks: f64, %cs: f64):
          %a = math.tanh %ks : f64
          %p = arith.mulf %xs, %cs : f64
          %b = arith.addf %p, %ks : f64
          weir.yield %a, %b : f64, f64
        } epilogue {
        ^bb0(%h: f64, %xs: f64, %ks: f64, %cs: f64):
          %p = arith.mulf %h, %cs : f64
          %q = arith.mulf %p, %xs : f64
          weir.yield %q : f64
        } {indexing_maps = [affine_map<(b, t, d, n) -> (b, t, d)>, affine_map<(b, t, d, n) -> (d, n)>,
             affine_map<(b, t, d, n) -> (b, t, n)>, affine_map<(b, t, d, n) -> (b, t, d)>],
           iterator_types = ["parallel", "time", "parallel", "parallel"]}
        : (tensor<2x5x2xf64>, tensor<2x3xf64>, tensor<2x5x3xf64>, tensor<2x2x3xf64>)" +
         (segments.empty() ? "" : ", tensor<2x5xi32>") +
         R"() -> (tensor<2x5x2xf64>, tensor<2x2x3xf64>, tensor<3x2x2x3xf64>)
    %l = linalg.generic {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> ()>],
        iterator_types = ["reduction", "reduction", "reduction"]} ins(%y : tensor<2x5x2xf64>) outs(%z : tensor<f64>) {
    ^bb0(%a: f64, %o: f64):
      %s = math.sin %a : f64
      %n = arith.addf %o, %s : f64
      linalg.yield %n : f64
    } -> tensor<f64>
    %loss = linalg.generic {indexing_maps = [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> ()>],
        iterator_types = ["reduction", "reduction", "reduction"]} ins(%last : tensor<2x2x3xf64>) outs(%l : tensor<f64>) {
    ^bb0(%a: f64, %o: f64):
      %s = arith.mulf %a, %a : f64
      %n = arith.addf %o, %s : f64
      linalg.yield %n : f64
    } -> tensor<f64>
    return %loss : tensor<f64>
  })";
}

TEST_F(DifferentiateTest, ScanForward) { check(scanFunction("")); }
TEST_F(DifferentiateTest, ScanOfSegments) {
  check(scanFunction("", "segments(%segments)"));
  check(scanFunction("reverse", "segments(%segments)"));
}
TEST_F(DifferentiateTest, ScanReverse) { check(scanFunction("reverse")); }

TEST_F(DifferentiateTest, SimpleScanWithoutChunkStates) {
  check(function("tensor<2x40x3xf64>", "tensor<2x40x3xf64>", "tensor<2x40x3xf64>", R"(
    %decay = math.tanh %x : tensor<2x40x3xf64>
    %y, %last = weir.scan(%decay, %w) : (tensor<2x40x3xf64>, tensor<2x40x3xf64>) -> (tensor<2x40x3xf64>, tensor<2x3xf64>)
)"));
}

}  // namespace
}  // namespace weir
