#include "runtime/plugin/layer_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::runtime {
namespace {

using ::testing::HasSubstr;

std::vector<LayerText> Find(absl::string_view text) {
  absl::StatusOr<std::vector<LayerText>> layers = FindLayers(text);
  EXPECT_TRUE(layers.ok()) << layers.status();
  return layers.ok() ? *layers : std::vector<LayerText>();
}

std::string ErrorOf(absl::string_view text) {
  absl::StatusOr<std::vector<LayerText>> layers = FindLayers(text);
  return layers.ok() ? "" : std::string(layers.status().message());
}

TEST(FindLayers, NamesAndLines) {
  auto layers = Find("weir.layer @a(%x: f32) {\n}\n\nweir.layer @b.c-d$1(%x: f32) {}");
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].name, "a");
  EXPECT_EQ(layers[0].line, 1);
  EXPECT_EQ(layers[1].name, "b.c-d$1");
  EXPECT_EQ(layers[1].line, 4);
}

TEST(FindLayers, QuotedNameVisibilityAndGenericSyntax) {
  auto layers = Find(
      "weir.layer private @a() {}\n"
      "weir.layer @\"b\" () {}\n"
      "\"weir.layer\"() <{doc = \"sym_name = 'no'\", sym_name = \"c\"}> ({\n}) : () -> ()\n");
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0].name, "a");
  EXPECT_EQ(layers[1].name, "b");
  EXPECT_EQ(layers[2].name, "c");
}

TEST(FindLayers, CommentsAndStringsAreNotCode) {
  auto layers = Find(
      "// weir.layer @in_comment\n"
      "weir.layer @a() {  // weir.layer @behind\n"
      "  weir.layer_norm %x, \"weir.layer @in_string \\\" weir.layer @escaped\"\n"
      "  %weir.layer = foo @not\n"
      "  !weir.layer @not\n"
      "}\n");
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].name, "a");
  EXPECT_TRUE(Find("").empty());
  EXPECT_TRUE(Find("weir.model @m() {}").empty());
}

TEST(FindLayers, DocIsTheBlockBeforeTheLayer) {
  auto layers = Find(
      "// A heading that belongs to the file.\n"
      "\n"
      "// h_t = a h_{t-1}\n"
      "//   indented\n"
      "!seq = tensor<?x?x?xf32>  // behind code\n"
      "weir.layer @a() {\n"
      "  // inside\n"
      "  foo {b = 1}\n"
      "}\n"
      "weir.layer @b() {}\n"
      "/// Three slashes.\n"
      "weir.layer @c() {}\n");
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0].doc, "h_t = a h_{t-1}\n  indented");
  EXPECT_EQ(layers[1].doc, "");
  EXPECT_EQ(layers[2].doc, "Three slashes.");
}

TEST(FindLayers, Errors) {
  EXPECT_THAT(ErrorOf("\n\"not ended"), HasSubstr("line 2: a string that doesn't end"));
  EXPECT_THAT(ErrorOf("\"not\nended\""), HasSubstr("line 1: a string"));
  EXPECT_THAT(ErrorOf("weir.layer"), HasSubstr("line 1: a weir.layer without a name"));
  EXPECT_THAT(ErrorOf("weir.layer (%x)"), HasSubstr("line 1: expected the layer's name"));
  EXPECT_THAT(ErrorOf("weir.layer @"), HasSubstr("line 1: expected the layer's name"));
  EXPECT_THAT(ErrorOf("weir.layer @\"a b\"() {}"), HasSubstr("expected the layer's name"));
  EXPECT_THAT(ErrorOf("weir.layer weir.layer @a"), HasSubstr("without a name"));
  EXPECT_THAT(ErrorOf("\"weir.layer\"() : () -> ()"), HasSubstr("without a name"));
  EXPECT_THAT(ErrorOf(absl::string_view("a\0b", 3)), HasSubstr("NUL"));
}

// Any prefix of a file is read or refused, never more.
TEST(FindLayers, EveryTruncation) {
  const std::string text =
      "// doc\nweir.layer @a(%x: f32) {\n  foo \"s\\\"t\" @\"q\"\n}\n\"weir.layer\"() <{sym_name = "
      "\"b\"}>";
  for (size_t size = 0; size < text.size(); ++size) {
    auto layers = FindLayers(absl::string_view(text).substr(0, size));
    const size_t most = size <= text.find("sym_name") ? 1 : 2;
    if (layers.ok()) {
      EXPECT_LE(layers->size(), most) << size;
    }
  }
  EXPECT_EQ(Find(text).size(), 2u);
}

TEST(IsValidName, Rules) {
  for (absl::string_view good : {"a", "_", "$x", "a-b", "a.b", "A9"}) {
    EXPECT_TRUE(IsValidName(good)) << good;
  }
  for (absl::string_view bad : {"", "9a", "-a", ".a", "a b", "a\n", "\xc3\xa9"}) {
    EXPECT_FALSE(IsValidName(bad)) << bad;
  }
}

}  // namespace
}  // namespace weir::runtime
