#include "compiler/transforms/adamw.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/GlobPattern.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace weir {

using namespace mlir;

namespace {

bool matchesAny(llvm::StringRef path, const std::vector<std::string>& patterns) {
  return llvm::any_of(patterns, [&](const std::string& pattern) {
    auto glob = llvm::GlobPattern::create(pattern);
    if (glob) return glob->match(path);
    llvm::consumeError(glob.takeError());
    return path == pattern;
  });
}

/// What differs between parameter groups.
struct GroupKey {
  double lrScale, weightDecay;
  bool operator<(const GroupKey& other) const {
    return std::tie(lrScale, weightDecay) < std::tie(other.lrScale, other.weightDecay);
  }
};

GroupKey groupOf(llvm::StringRef path, const AdamWSettings& settings) {
  GroupKey key{1.0, settings.weightDecay};
  if (matchesAny(path, settings.noDecay)) key.weightDecay = 0.0;
  for (const ParameterGroup& group : settings.groups) {
    if (!matchesAny(path, group.patterns)) continue;
    key.lrScale = group.lrScale;
    key.weightDecay = group.weightDecay.value_or(key.weightDecay);
  }
  return key;
}

/// Scalar arithmetic inside a region.
struct Scalars {
  ImplicitLocOpBuilder b;

  Value constant(double value, Type type) {
    return arith::ConstantOp::create(b, b.getFloatAttr(type, value));
  }
  Value f64(double value) { return constant(value, b.getF64Type()); }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
  Value minimum(Value x, Value y) { return arith::MinimumFOp::create(b, x, y); }
  Value isFinite(Value x) {
    Value magnitude = math::AbsFOp::create(b, x);
    double infinity = std::numeric_limits<double>::infinity();
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, magnitude,
                                 constant(infinity, x.getType()));
  }
  Value isOne(Value x) {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, constant(1.0, x.getType()));
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, condition, x, y);
  }
  Value sqrt(Value x) { return math::SqrtOp::create(b, x); }
  Value cast(Value x, Type type) {
    auto from = cast_or_null<FloatType>(x.getType()), to = llvm::cast<FloatType>(type);
    if (from == to) return x;
    if (from.getWidth() < to.getWidth()) return arith::ExtFOp::create(b, type, x);
    return arith::TruncFOp::create(b, type, x);
  }
};

using Body = std::function<SmallVector<Value>(Scalars&, ValueRange inputs)>;

class Builder {
 public:
  Builder(func::FuncOp func, const AdamWSettings& settings)
      : settings(settings), b(func.getLoc(), func.getContext()) {
    b.setInsertionPointToEnd(&func.front());
  }

  /// A generic over tensors of one shape and scalars (tensors of rank 0).
  SmallVector<Value> elementwise(ArrayRef<int64_t> shape, ValueRange inputs, ArrayRef<Type> results,
                                 const Body& body) {
    SmallVector<AffineMap> maps;
    AffineMap identity = b.getMultiDimIdentityMap(shape.size());
    AffineMap scalar = AffineMap::get(shape.size(), 0, b.getContext());
    for (Value input : inputs)
      maps.push_back(cast<RankedTensorType>(input.getType()).getRank() == 0 ? scalar : identity);
    SmallVector<Value> inits;
    for (Type result : results) {
      inits.push_back(tensor::EmptyOp::create(b, shape, result));
      maps.push_back(identity);
    }
    SmallVector<utils::IteratorType> iterators(shape.size(), utils::IteratorType::parallel);
    auto generic = linalg::GenericOp::create(
        b, TypeRange(ValueRange(inits)), inputs, inits, maps, iterators,
        [&](OpBuilder& inner, Location loc, ValueRange args) {
          Scalars scalars{ImplicitLocOpBuilder(loc, inner)};
          linalg::YieldOp::create(inner, loc, body(scalars, args.take_front(inputs.size())));
        });
    return SmallVector<Value>(generic.getResults());
  }

  Value sumOfSquares(Value gradient);
  /// The step as tensor<i64>.
  Value step(Value rng);
  /// One step on, where `finite` isn't 0.
  Value nextRng(Value rng, Value finite);
  /// The learning rate at `step` (f64 from 0), relative to the peak.
  Value scheduleFactor(Scalars& e, Value step);

  const AdamWSettings& settings;
  ImplicitLocOpBuilder b;
};

Value Builder::sumOfSquares(Value gradient) {
  auto type = cast<RankedTensorType>(gradient.getType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>(), type.getElementType());
  Value init = linalg::FillOp::create(b, zero, empty).getResult(0);
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::reduction);
  SmallVector<AffineMap> maps{b.getMultiDimIdentityMap(type.getRank()),
                              AffineMap::get(type.getRank(), 0, b.getContext())};
  auto sum = linalg::GenericOp::create(b, init.getType(), gradient, init, maps, iterators,
                                       [](OpBuilder& inner, Location loc, ValueRange args) {
                                         Scalars e{ImplicitLocOpBuilder(loc, inner)};
                                         Value next = e.add(args[1], e.mul(args[0], args[0]));
                                         linalg::YieldOp::create(inner, loc, next);
                                       });
  return sum.getResult(0);
}

Value Builder::step(Value rng) {
  auto type = RankedTensorType::get({}, b.getI64Type());
  auto index = [&](int64_t value) { return OpFoldResult(b.getIndexAttr(value)); };
  return tensor::ExtractSliceOp::create(b, type, rng, ArrayRef{index(1)}, ArrayRef{index(1)},
                                        ArrayRef{index(1)});
}

Value Builder::nextRng(Value rng, Value finite) {
  // (seed, step) + (0, 1): an element's own index is what is added.
  return elementwise({2}, {rng, finite}, {b.getI64Type()}, [&](Scalars& e, ValueRange in) {
    Value index = linalg::IndexOp::create(e.b, 0);
    Value add = arith::IndexCastOp::create(e.b, e.b.getI64Type(), index);
    Value next = arith::AddIOp::create(e.b, in[0], add);
    return SmallVector<Value>{e.select(e.isOne(in[1]), next, in[0])};
  })[0];
}

Value Builder::scheduleFactor(Scalars& e, Value step) {
  Value one = e.f64(1.0), factor = one;
  double warmup = settings.warmup;
  if (settings.schedule != "constant") {
    // A run that ends while it warms up never gets to the fall.
    double fall = std::max(1.0, settings.steps - warmup);
    Value q = e.div(e.sub(step, e.f64(warmup)), e.f64(fall));
    q = arith::MaximumFOp::create(e.b, e.minimum(q, one), e.f64(0.0));
    double rest = 1.0 - settings.finalScale;
    if (settings.schedule == "linear") {
      factor = e.sub(one, e.mul(e.f64(rest), q));
    } else {
      Value cosine = math::CosOp::create(e.b, e.mul(e.f64(M_PI), q));
      factor = e.add(e.f64(settings.finalScale), e.mul(e.f64(0.5 * rest), e.add(one, cosine)));
    }
  }
  if (settings.warmup > 0)
    factor = e.mul(factor, e.minimum(one, e.div(e.add(step, one), e.f64(warmup))));
  return factor;
}

func::FuncOp createFunction(ModuleOp module, llvm::StringRef name, ArrayRef<Type> arguments,
                            ArrayRef<DictionaryAttr> attrs) {
  OpBuilder outer(module.getBodyRegion());
  outer.setInsertionPointToEnd(module.getBody());
  auto func =
      func::FuncOp::create(outer, module.getLoc(), name, outer.getFunctionType(arguments, {}));
  func.setAllArgAttrs(attrs);
  func.addEntryBlock();
  return func;
}

void finishFunction(func::FuncOp func, ArrayRef<Value> results, ArrayRef<DictionaryAttr> attrs) {
  OpBuilder builder = OpBuilder::atBlockEnd(&func.front());
  func::ReturnOp::create(builder, func.getLoc(), results);
  func.setFunctionType(
      builder.getFunctionType(func.getArgumentTypes(), TypeRange(ValueRange(results))));
  func.setAllResultAttrs(attrs);
}

DictionaryAttr named(MLIRContext* context, llvm::StringRef key, const std::string& value) {
  return DictionaryAttr::get(
      context, NamedAttribute(StringAttr::get(context, key), StringAttr::get(context, value)));
}

}  // namespace

func::FuncOp buildAccumulate(ModuleOp module, llvm::StringRef name,
                             ArrayRef<OptimizedParameter> parameters) {
  MLIRContext* context = module.getContext();
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attrs;
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (const OptimizedParameter& parameter : parameters) {
      types.push_back(parameter.type);
      attrs.push_back(named(context, "weir.gradient", parameter.path));
    }
  }
  func::FuncOp func = createFunction(module, name, types, attrs);
  AdamWSettings none;
  Builder builder(func, none);
  SmallVector<Value> sums;
  for (size_t i = 0; i < parameters.size(); ++i) {
    RankedTensorType type = parameters[i].type;
    sums.push_back(builder.elementwise(
        type.getShape(), {func.getArgument(i), func.getArgument(parameters.size() + i)},
        {type.getElementType()},
        [](Scalars& e, ValueRange in) { return SmallVector<Value>{e.add(in[0], in[1])}; })[0]);
  }
  finishFunction(func, sums, ArrayRef(attrs).take_front(parameters.size()));
  return func;
}

func::FuncOp buildAdamW(ModuleOp module, llvm::StringRef name,
                        ArrayRef<OptimizedParameter> parameters, const AdamWSettings& settings) {
  MLIRContext* context = module.getContext();
  size_t count = parameters.size();
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attrs;
  auto declare = [&](llvm::StringRef key, const std::string& prefix) {
    for (const OptimizedParameter& parameter : parameters) {
      types.push_back(parameter.type);
      attrs.push_back(named(context, key, prefix + parameter.path));
    }
  };
  declare("weir.gradient", "");
  declare("weir.param", "");
  declare("weir.variable", "optimizer.m.");
  declare("weir.variable", "optimizer.v.");
  types.push_back(RankedTensorType::get({2}, IntegerType::get(context, 64)));
  attrs.push_back(DictionaryAttr::get(
      context, NamedAttribute(StringAttr::get(context, "weir.rng"), UnitAttr::get(context))));
  Type element =
      parameters.empty() ? Type(Float32Type::get(context)) : parameters[0].type.getElementType();
  types.push_back(RankedTensorType::get({}, element));
  attrs.push_back(named(context, "weir.output", "loss"));
  func::FuncOp func = createFunction(module, name, types, attrs);
  auto arguments = [&](unsigned kind) { return func.getArguments().slice(kind * count, count); };
  Value rng = func.getArgument(4 * count), loss = func.getArgument(4 * count + 1);
  Builder builder(func, settings);

  SmallVector<Value> scalarInputs{builder.step(rng), loss};
  for (Value gradient : arguments(0)) scalarInputs.push_back(builder.sumOfSquares(gradient));

  // One kernel for everything that does not depend on an element: [norm, lr, sqrt(bias correction
  // 2), 1 if loss and norm are finite], then clip factors (one, or one a parameter), then [decay
  // factor, step size] of each parameter group. In f64, then rounded to the type of the parameters.
  std::map<GroupKey, unsigned> groups;
  for (const OptimizedParameter& parameter : parameters)
    groups.try_emplace(groupOf(parameter.path, settings), 0);
  unsigned clipFactors = settings.clip ? (settings.clipsEachParameter ? count : 1) : 0;
  bool scales = settings.accumulate > 1 && clipFactors == 0;
  if (scales) clipFactors = 1;
  unsigned next = 4 + clipFactors;
  for (auto& [key, position] : groups) {
    position = next;
    next += 2;
  }
  SmallVector<Type> scalarTypes(next, element);
  scalarTypes[0] = scalarTypes[1] = Float32Type::get(context);
  auto scalars = builder.elementwise({}, scalarInputs, scalarTypes, [&](Scalars& e, ValueRange in) {
    Type f64 = e.b.getF64Type();
    Value step = arith::SIToFPOp::create(e.b, f64, in[0]);
    double share = 1.0 / settings.accumulate;  // gradients are sums of as many batches
    SmallVector<Value> squares;
    for (Value square : in.drop_front(2))
      squares.push_back(e.mul(e.cast(square, f64), e.f64(share * share)));
    Value total = e.f64(0.0);
    for (Value square : squares) total = e.add(total, square);
    Value norm = e.sqrt(total);
    Value lr = e.mul(e.f64(settings.lr), builder.scheduleFactor(e, step));
    // 1 - beta^t, t from 1, by the exponential: t log(beta) has all its bits.
    auto correction = [&](double beta) {
      if (beta == 0.0) return e.f64(1.0);
      Value exponent = e.mul(e.add(step, e.f64(1.0)), e.f64(std::log(beta)));
      return e.sub(e.f64(1.0), math::ExpOp::create(e.b, exponent));
    };
    Value correction1 = correction(settings.beta1), correction2 = correction(settings.beta2);
    Value finite = arith::AndIOp::create(e.b, e.isFinite(norm), e.isFinite(in[1]));
    SmallVector<Value> results{norm, lr, e.sqrt(correction2),
                               e.select(finite, e.f64(1.0), e.f64(0.0))};
    auto clipFactor = [&](Value of) {
      Value factor = e.minimum(e.f64(1.0), e.div(e.f64(*settings.clip), e.add(of, e.f64(1e-6))));
      return settings.accumulate > 1 ? e.mul(factor, e.f64(share)) : factor;
    };
    if (scales) {
      results.push_back(e.f64(share));
    } else if (settings.clip && settings.clipsEachParameter) {
      for (Value square : squares) results.push_back(clipFactor(e.sqrt(square)));
    } else if (settings.clip) {
      results.push_back(clipFactor(norm));
    }
    for (auto& [key, position] : groups) {
      Value scaled = e.mul(lr, e.f64(key.lrScale));
      results.push_back(e.sub(e.f64(1.0), e.mul(scaled, e.f64(key.weightDecay))));
      results.push_back(e.div(scaled, correction1));
    }
    for (auto [result, type] : llvm::zip_equal(results, scalarTypes)) result = e.cast(result, type);
    return results;
  });

  SmallVector<Value> newParameters, newFirst, newSecond;
  for (size_t i = 0; i < count; ++i) {
    GroupKey key = groupOf(parameters[i].path, settings);
    unsigned position = groups.at(key);
    SmallVector<Value> inputs{arguments(0)[i],       arguments(1)[i], arguments(2)[i],
                              arguments(3)[i],       scalars[2],      scalars[position],
                              scalars[position + 1], scalars[3]};
    if (clipFactors) inputs.push_back(scalars[clipFactors == 1 ? 4 : 4 + i]);
    Type type = parameters[i].type.getElementType();
    auto updated = builder.elementwise(
        parameters[i].type.getShape(), inputs, {type, type, type}, [&](Scalars& e, ValueRange in) {
          Value g = in[0], p = in[1], m = in[2], v = in[3];
          auto number = [&](double value) { return e.constant(value, type); };
          auto scalar = [&](unsigned i) { return e.cast(in[i], type); };
          if (clipFactors) g = e.mul(g, scalar(8));
          p = e.mul(p, scalar(5));  // by 1 without decay: one body for all parameters
          m = e.add(m, e.mul(e.sub(g, m), number(1.0 - settings.beta1)));
          v = e.add(e.mul(v, number(settings.beta2)),
                    e.mul(e.mul(number(1.0 - settings.beta2), g), g));
          Value denominator = e.add(e.div(e.sqrt(v), scalar(4)), number(settings.eps));
          p = e.sub(p, e.mul(scalar(6), e.div(m, denominator)));
          Value finite = e.isOne(in[7]);
          return SmallVector<Value>{e.select(finite, p, in[1]), e.select(finite, m, in[2]),
                                    e.select(finite, v, in[3])};
        });
    newParameters.push_back(updated[0]);
    newFirst.push_back(updated[1]);
    newSecond.push_back(updated[2]);
  }
  SmallVector<Value> results = newParameters;
  results.append(newFirst);
  results.append(newSecond);
  results.append({builder.nextRng(rng, scalars[3]), scalars[0], scalars[1], scalars[3]});
  SmallVector<DictionaryAttr> resultAttrs(attrs.begin() + count, attrs.end() - 1);
  resultAttrs.push_back(named(context, "weir.output", "gradient_norm"));
  resultAttrs.push_back(named(context, "weir.output", "learning_rate"));
  resultAttrs.push_back(named(context, "weir.output", "finite"));
  finishFunction(func, results, resultAttrs);
  return func;
}

}  // namespace weir
