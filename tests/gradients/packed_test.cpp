// Documents packed into one row, told apart by segment ids, against each document alone.

#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "tests/gradients/harness.h"

namespace weir::gradients {
namespace {

using runtime::HostTensor;

/// Copies times [from, from + count) of a tensor of batch 1.
HostTensor timesOf(const HostTensor& packed, int64_t from, int64_t count) {
  runtime::TensorSpec spec = packed.spec();
  int64_t row = spec.NumElements() / spec.shape[1];
  spec.shape[1] = count;
  HostTensor part(spec);
  for (int64_t i = 0; i < count * row; ++i) SetNumber(part, i, packed.Number(from * row + i));
  return part;
}

/// Holds a model of one input x (1 x time x 8) over packed documents against the same model over
/// each: outputs and input gradients have to be the same, gradients of parameters their sum.
/// Initial states belong to the first document, last states to the last.
void expectPackedIsSeparate(const std::string& layer, const std::vector<int64_t>& lengths) {
  SCOPED_TRACE(layer);
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = " +
      layer + " : !seq\n  weir.return %y : !seq\n}\n";
  int64_t total = 0;
  for (size_t document = 0; document < lengths.size(); ++document) {
    total += lengths[document];
    // Ids differ within a row; their order is nobody's business.
    constexpr int32_t kIds[] = {5, -2, 9};
    model.segments.insert(model.segments.end(), lengths[document], kIds[document]);
  }
  model.shapes["x0"] = {1, total, 8};
  Compiled packed(model, Type::F64);
  ASSERT_TRUE(packed.ok());
  Tensors values = packed.draw(model);
  Tensors results = Runner(packed.program(), 2).run("gradients", values);

  Tensors sums;
  int64_t from = 0;
  for (size_t document = 0; document < lengths.size(); ++document) {
    SCOPED_TRACE("document " + std::to_string(document));
    int64_t length = lengths[document];
    Model alone = model;
    alone.segments.clear();
    alone.shapes["x0"] = {1, length, 8};
    Compiled compiled(alone, Type::F64);
    ASSERT_TRUE(compiled.ok());
    Tensors part = values;
    for (auto& [name, tensor] : part) {
      bool isState = name.rfind("state.", 0) == 0, isLast = name.rfind("cotangent.", 0) == 0;
      if (name == "x0" || name == "cotangent") {
        tensor = timesOf(tensor, from, length);
      } else if ((isState && document > 0) || (isLast && document + 1 < lengths.size())) {
        for (int64_t i = 0; i < tensor.spec().NumElements(); ++i) SetNumber(tensor, i, 0);
      }
    }
    for (auto& [name, tensor] : Runner(compiled.program(), 2).run("gradients", part)) {
      if (name == "output" || name == "input.x0") {
        EXPECT_LE(Difference(tensor, timesOf(results.at(name), from, length)), 1e-11) << name;
      } else if (name.rfind("state.", 0) == 0) {
        if (document + 1 == lengths.size())
          EXPECT_LE(Difference(tensor, results.at(name)), 1e-11) << name;
      } else if (name.rfind("state_gradient.", 0) == 0) {
        if (document == 0) EXPECT_LE(Difference(tensor, results.at(name)), 1e-11) << name;
      } else {
        HostTensor& sum = sums.emplace(name, HostTensor(tensor.spec())).first->second;
        for (int64_t i = 0; i < sum.spec().NumElements(); ++i)
          SetNumber(sum, i, sum.Number(i) + tensor.Number(i));
      }
    }
    from += length;
  }
  for (const auto& [name, sum] : sums) EXPECT_LE(Difference(sum, results.at(name)), 1e-11) << name;
}

const std::vector<int64_t> kLengths = {5, 1, 19};

TEST(Packed, Positions) {
  expectPackedIsSeparate("weir.rotary %x", kLengths);
  expectPackedIsSeparate("weir.scaled_sin %x, \"pos\"", kLengths);
  expectPackedIsSeparate("weir.learned_positions %x, \"pos\" [25]", kLengths);
}

TEST(Packed, Scans) {
  expectPackedIsSeparate("weir.apply \"mingru\"(%x) {hidden = 12}", kLengths);
  expectPackedIsSeparate("weir.apply \"mingru\"(%x) {arithmetic = \"log\"}", kLengths);
}

TEST(Packed, Gru) { expectPackedIsSeparate("weir.apply \"gru\"(%x) {hidden = 12}", kLengths); }

TEST(Packed, Convolution) { expectPackedIsSeparate("weir.apply \"causal_conv\"(%x)", kLengths); }

TEST(Packed, Blocks) {
  expectPackedIsSeparate("weir.apply \"minrnn_block\"(%x)", kLengths);
  expectPackedIsSeparate("weir.apply \"transformer_plus\"(%x) {heads = 2}", kLengths);
  expectPackedIsSeparate("weir.apply \"transformer_pp\"(%x) {heads = 2, hidden = 16}", kLengths);
}

// Chunks lie at multiples of their size in the row: documents that begin there are as alone.
// (Others are looked at below.)
TEST(Packed, ChunkedAttention) {
  expectPackedIsSeparate("weir.apply \"flash\"(%x) {head = 6, chunk = 4}", {8, 4, 13});
}

struct Layer {
  const char* apply;     // name and options
  int64_t chunk = 1;     // of the grid that documents keep their places on
  bool isCausal = true;  // else a row's rest must not be seen
  // Whether infinities and NaNs stay in their document: where weights of 0 meet the values of other
  // documents in a product, they don't.
  bool containsNans = false;
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.apply; }

const Layer kLayers[] = {
    {"mingru {hidden = 5}", 1, true, true},
    {"mingru {candidate = \"identity\"}", 1, true, true},
    {"mingru {arithmetic = \"log\"}", 1, true, true},
    {"gru {hidden = 5}", 1, true, true},
    {"causal_conv", 1, true, true},
    {"causal_conv {kernel = 2, pointwise = false}", 1, true, true},
    {"minrnn_block", 1, true, true},
    {"gau {head = 6}"},
    {"gau {head = 6, bias = \"none\", causal = false}", 1, false},
    {"flash {head = 6, chunk = 4}", 4},
    {"flash {head = 6, chunk = 5, norm = \"scale\"}", 5},
    {"attention {heads = 2}"},
    {"attention {heads = 2, rotary = true, causal = false}", 1, false},
    {"transformer {heads = 2}"},
    {"transformer_plus {heads = 2}"},
    {"transformer_pp {heads = 2, hidden = 16}"},
};

// Documents of a row of 23: of one token, and with borders before, at and behind those of chunks of
// 4 and of 5.
const std::vector<int64_t> kDocuments = {3, 1, 1, 6, 1, 8, 3};

Model modelOf(const Layer& layer, int64_t time) {
  std::string apply = layer.apply;
  size_t space = apply.find(' ');
  std::string name = apply.substr(0, space);
  std::string options = space == apply.npos ? "" : apply.substr(space);
  Model model;
  model.text =
      "!seq = tensor<?x?x?xf32>\nweir.model @m(%x0: tensor<?x?x8xf32>) -> !seq {\n"
      "  %x = tensor.cast %x0 : tensor<?x?x8xf32> to !seq\n  %y = weir.apply \"" +
      name + "\"(%x)" + options + " : !seq\n  weir.return %y : !seq\n}\n";
  model.shapes["x0"] = {1, time, 8};
  return model;
}

/// The segment ids of kDocuments, in no order.
std::vector<int32_t> documentIds() {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < kDocuments.size(); ++i)
    ids.insert(ids.end(), kDocuments[i], static_cast<int32_t>(i * 5 % 7) - 3);
  return ids;
}

/// Sets times [to, to + count) of `into` to times [from, from + count) of `source`.
void copyTimes(const HostTensor& source, int64_t from, HostTensor& into, int64_t to,
               int64_t count) {
  int64_t row = source.spec().NumElements() / source.spec().shape[1];
  for (int64_t i = 0; i < count * row; ++i)
    SetNumber(into, to * row + i, source.Number(from * row + i));
}

HostTensor zerosLike(const HostTensor& tensor) {
  HostTensor zeros(tensor.spec());
  for (int64_t i = 0; i < zeros.spec().NumElements(); ++i) SetNumber(zeros, i, 0);
  return zeros;
}

class PackedLayers : public testing::TestWithParam<Layer> {};

// Each document at the same phase of the chunk, in a row of the same length (which gated attention
// divides by) whose other tokens have other values, no cotangent, and where they could be seen
// another id: outputs and gradients of the documents are those of the packed row.
TEST_P(PackedLayers, AreAsSeparateOnes) {
  const Layer& layer = GetParam();
  std::vector<int32_t> ids = documentIds();
  auto time = static_cast<int64_t>(ids.size());
  Model model = modelOf(layer, time);
  model.segments = ids;
  Compiled packed(model, Type::F64);
  ASSERT_TRUE(packed.ok());
  Tensors values = packed.draw(model);
  // Last states are those of the row's end, whatever document that is of.
  for (auto& [name, tensor] : values)
    if (name.rfind("cotangent.", 0) == 0) tensor = zerosLike(tensor);
  Runner runner(packed.program(), 2);
  Tensors results = runner.run("gradients", values);
  Model whole = modelOf(layer, time);
  Compiled unpacked(whole, Type::F64);
  ASSERT_TRUE(unpacked.ok());
  Runner alone(unpacked.program(), 2);
  whole.seed = 7;
  Tensors others = unpacked.draw(whole);

  Tensors sums;
  int64_t begin = 0;
  for (size_t document = 0; document < kDocuments.size(); ++document) {
    SCOPED_TRACE(testing::Message() << "document " << document);
    int64_t length = kDocuments[document], front = begin % layer.chunk;
    Tensors part = values;
    part.at("x0") = others.at("x0");
    copyTimes(values.at("x0"), begin, part.at("x0"), front, length);
    part.at("cotangent") = zerosLike(values.at("cotangent"));
    copyTimes(values.at("cotangent"), begin, part.at("cotangent"), front, length);
    HostTensor& segments = part.at("segments");
    for (int64_t t = 0; t < time; ++t)
      SetNumber(segments, t, t < front ? 8 : t < front + length ? 9 : 10);
    // The first document goes on from the initial states; what enters the others is nothing.
    for (auto& [name, tensor] : part)
      if (name.rfind("state.", 0) == 0 && document > 0) tensor = zerosLike(tensor);
    bool seesOthers = front > 0 || !layer.isCausal;
    Tensors separate = (seesOthers ? runner : alone).run("gradients", part);
    for (const char* name : {"output", "input.x0"}) {
      HostTensor mine = timesOf(separate.at(name), front, length);
      EXPECT_LE(Difference(timesOf(results.at(name), begin, length), mine), 1e-11) << name;
    }
    for (auto& [name, tensor] : separate) {
      if (name.rfind("state_gradient.", 0) == 0 && document == 0) {
        EXPECT_LE(Difference(tensor, results.at(name)), 1e-11) << name;
      }
      if (name == "output" || name.rfind("input.", 0) == 0 || name.rfind("state", 0) == 0) continue;
      HostTensor& sum = sums.emplace(name, zerosLike(tensor)).first->second;
      for (int64_t i = 0; i < sum.spec().NumElements(); ++i)
        SetNumber(sum, i, sum.Number(i) + tensor.Number(i));
    }
    begin += length;
  }
  for (const auto& [name, sum] : sums) EXPECT_LE(Difference(sum, results.at(name)), 1e-11) << name;
}

/// Whether two tensors have the same bits at times [from, from + count).
bool sameTimes(const HostTensor& a, const HostTensor& b, int64_t from, int64_t count) {
  int64_t bytes = a.spec().NumBytes() / a.spec().shape[1];
  return std::memcmp(a.bytes().data() + from * bytes, b.bytes().data() + from * bytes,
                     count * bytes) == 0;
}

// Whatever one document holds, the others' outputs and gradients keep their bits: other values,
// huge ones, infinities and NaNs, in inputs and in cotangents.
TEST_P(PackedLayers, DontSeeEachOther) {
  std::vector<int32_t> ids = documentIds();
  auto time = static_cast<int64_t>(ids.size());
  for (Type type : {Type::F64, Type::F32}) {
    Model model = modelOf(GetParam(), time);
    model.segments = ids;
    Compiled compiled(model, type);
    ASSERT_TRUE(compiled.ok());
    Tensors values = compiled.draw(model);
    Runner runner(compiled.program(), 2);
    Tensors results = runner.run("gradients", values);
    const double huge = type == Type::F64 ? 1e300 : 1e30;
    const double infinity = std::numeric_limits<double>::infinity();
    std::vector<double> strange = {-3.0, 1e4};
    if (GetParam().containsNans) strange = {-3.0, huge, -infinity, std::nan("")};
    for (double value : strange) {
      for (const char* changed : {"x0", "cotangent"}) {
        int64_t begin = 0;
        for (size_t document = 0; document < kDocuments.size(); ++document) {
          int64_t length = kDocuments[document];
          SCOPED_TRACE(testing::Message() << changed << " of document " << document << " is "
                                          << value << (type == Type::F64 ? ", f64" : ", f32"));
          Tensors other = values;
          HostTensor& tensor = other.at(changed);
          // All of a document's second half, and one number of its first token.
          int64_t row = tensor.spec().NumElements() / time;
          for (int64_t i = (begin + length / 2) * row; i < (begin + length) * row; ++i)
            SetNumber(tensor, i, value);
          SetNumber(tensor, begin * row + 3, value);
          Tensors after = runner.run("gradients", other);
          for (const char* name : {"output", "input.x0"}) {
            const HostTensor &a = results.at(name), &b = after.at(name);
            EXPECT_TRUE(sameTimes(a, b, 0, begin)) << name << " before";
            int64_t end = begin + length;
            EXPECT_TRUE(sameTimes(a, b, end, time - end)) << name << " after";
          }
          const char* moved = changed[0] == 'x' ? "output" : "input.x0";
          EXPECT_FALSE(sameTimes(results.at(moved), after.at(moved), begin, length))
              << "the test has no teeth";
          begin += length;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, PackedLayers, testing::ValuesIn(kLayers));

// FLASH's published code (appendix D, code 8) takes segment ids and looks at them in the part
// across chunks only. In a row that is one chunk there is no such part: what it computes is the
// layer without segments, and there the first document shows in the second.
TEST(Packed, PublishedFlashLeaksInsideAChunkAndOursDoesNot) {
  Layer layer{"flash {head = 6, chunk = 16}", 16};
  for (bool published : {true, false}) {
    Model model = modelOf(layer, 12);
    if (!published) model.segments = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1};
    Compiled compiled(model, Type::F64);
    ASSERT_TRUE(compiled.ok());
    Tensors values = compiled.draw(model);
    Runner runner(compiled.program(), 1);
    Tensors before = runner.run("gradients", values);
    for (int64_t i = 0; i < 5 * 8; ++i) SetNumber(values.at("x0"), i, 0.5 - i % 3);
    Tensors after = runner.run("gradients", values);
    for (const char* name : {"output", "input.x0"}) {
      double difference = Difference(timesOf(after.at(name), 5, 7), timesOf(before.at(name), 5, 7));
      if (published)
        EXPECT_GT(difference, 1e-5) << name;
      else
        EXPECT_EQ(difference, 0) << name;
      std::cout << (published ? "published: " : "ours: ") << name << " of document 2 moves by "
                << difference << "\n";
    }
  }
}

}  // namespace
}  // namespace weir::gradients
